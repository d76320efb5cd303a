package server

import (
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/login"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/playground"
	"github.com/keizer-auth/keizer/provider"
	"github.com/keizer-auth/keizer/web"
)

// quiet keeps gin from printing every route. Its mode belongs to the whole process, and an engine reads it when it is made.
var quiet = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

// document is how what is the same for everybody is asked for. Pages and endpoints, which act on being asked, answer no HEAD.
var document = []string{http.MethodGet, http.MethodHead}

// routes is every path there is.
func (s *Server) routes() http.Handler {
	quiet()
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.MaxMultipartMemory = 0
	engine.ForwardedByClientIP = len(s.house.Cfg.TrustedProxies) > 0
	if err := engine.SetTrustedProxies(s.house.Cfg.TrustedProxies); err != nil {
		panic("the configuration was validated: " + err.Error())
	}
	engine.Use(s.around)
	engine.NoRoute(s.page(s.notFound))
	engine.NoMethod(s.page(s.wrongMethod))

	page, sameOrigin := s.page, s.pages.SameOrigin()
	p, l := s.provider, s.login

	// Outside of any organization.
	engine.Match(document, "/livez", gin.WrapF(s.health.live))
	engine.Match(document, "/readyz", gin.WrapF(s.health.ready))
	engine.Match(document, "/static/*file", gin.WrapH(s.pages.Static()))
	engine.POST("/language", sameOrigin, page(s.pages.Language))
	engine.GET("/setup", page(l.Setup))
	engine.POST("/setup", sameOrigin, page(l.SetupPost))
	if s.playground != nil {
		engine.GET("/", func(c *gin.Context) { c.Redirect(http.StatusSeeOther, playground.HomePath) })
		s.playground.Mount(engine.Group(playground.HomePath), page)
	}

	if s.house.Cfg.Development() {
		engine.GET(mailboxPath, page(s.mailbox))
		engine.GET(mailboxPath+"/:"+paramLetter, page(s.letter))
		engine.GET(mailboxPath+"/:"+paramLetter+"/html", page(s.letterHTML))
	}

	s.admin.Mount(engine) // below /api/v1: one resource a file, whose first lines say where it is

	// Asked under a host before it is anybody's.
	engine.GET(manage.HostProofPath+"/:"+paramNonce, s.hostProof)

	// Each organization: the root one at the origin itself, the others below /o/{slug}; and those that have a host at the origin of that,
	// where there is nothing else but what pages are made of.
	outside := routesOf(engine)
	for _, group := range []*gin.RouterGroup{engine.Group("", s.root), engine.Group("/o/:"+paramOrg, s.byPath)} {
		group.Match(document, "/.well-known/openid-configuration", page(p.Discovery))
		group.Match(document, "/.well-known/oauth-authorization-server", page(p.Discovery))
		group.Match(document, "/.well-known/jwks.json", page(p.JWKS))

		group.GET("/oauth2/authorize", page(p.Authorize))
		group.POST("/oauth2/authorize", page(p.Authorize))
		group.POST("/oauth2/par", page(p.PushedAuthorization))
		group.POST("/oauth2/token", page(p.Token))
		group.GET("/oauth2/userinfo", page(p.UserInfo))
		group.POST("/oauth2/userinfo", page(p.UserInfo))
		group.POST("/oauth2/introspect", page(p.Introspect))
		group.POST("/oauth2/revoke", page(p.Revoke))
		group.GET("/oauth2/logout", page(p.Logout))
		group.POST("/oauth2/logout", page(p.Logout))
		group.GET("/oauth2/check-session", page(p.CheckSession))
		group.POST(manage.RegistrationPath, page(p.Register))
		group.GET(manage.RegistrationPath+"/:"+provider.ParamClient, page(p.Registration))
		group.PUT(manage.RegistrationPath+"/:"+provider.ParamClient, page(p.UpdateRegistration))
		group.DELETE(manage.RegistrationPath+"/:"+provider.ParamClient, page(p.DeleteRegistration))
		for _, path := range []string{manage.RegistrationPath, manage.RegistrationPath + "/:" + provider.ParamClient} {
			group.OPTIONS(path, page(p.RegistrationPreflight))
		}
		for _, path := range []string{"/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke"} {
			group.OPTIONS(path, page(p.Preflight))
		}

		group.Match(document, "/logo/:"+login.ParamDigest, page(l.Logo))
		group.GET("/login", page(l.SignIn))
		group.POST("/login", sameOrigin, page(l.SignInPost))
		group.GET("/login/select", page(l.Select))
		group.POST("/login/select", sameOrigin, page(l.SelectPost))
		group.GET("/login/factor", page(l.Factor))
		group.POST("/login/factor", sameOrigin, page(l.FactorPost))
		group.GET("/login/enroll", page(l.Enroll))
		group.POST("/login/enroll", sameOrigin, page(l.EnrollPost))
		group.POST("/login/:"+login.ParamProvider, sameOrigin, page(l.Federate))
		group.GET("/login/:"+login.ParamProvider+"/callback", page(l.Callback))
		group.POST("/login/:"+login.ParamProvider+"/callback", page(l.CallbackPost)) // the form of a provider's page
		group.GET("/login/email", page(l.ProveAddress))
		group.POST("/login/email", sameOrigin, page(l.ProveAddressPost))
		group.GET("/login/recovery-codes", page(l.Codes))
		group.POST("/login/recovery-codes", sameOrigin, page(l.CodesPost))
		group.GET("/signup", page(l.SignUp))
		group.POST("/signup", sameOrigin, page(l.SignUpPost))
		group.GET("/verify", page(l.Verify))
		group.POST("/verify", sameOrigin, page(l.VerifyPost))
		group.GET("/verified", page(l.Verified))
		group.GET("/forgot", page(l.Forgot))
		group.POST("/forgot", sameOrigin, page(l.ForgotPost))
		group.GET("/reset", page(l.Reset))
		group.POST("/reset", sameOrigin, page(l.ResetPost))
		group.GET("/invitation", page(l.Invitation))
		group.POST("/invitation", sameOrigin, page(l.InvitationPost))
		group.GET("/consent", page(l.Consent))
		group.POST("/consent", sameOrigin, page(l.ConsentPost))
		group.GET("/logged-out", page(p.LoggedOut))
		s.account.Mount(group, page)
	}
	s.hosted = map[string]bool{"/static/*file": true, "/language": true, "/livez": true, "/readyz": true}
	for path := range routesOf(engine) {
		if !outside[path] && !strings.HasPrefix(path, "/o/") {
			s.hosted[path] = true
		}
	}
	// RFC 8414 §3.1 puts the well-known part before the issuer's path.
	engine.Match(document, "/.well-known/openid-configuration/o/:"+paramOrg, s.byPath, page(p.Discovery))
	engine.Match(document, "/.well-known/oauth-authorization-server/o/:"+paramOrg, s.byPath, page(p.Discovery))
	return engine
}

func routesOf(engine *gin.Engine) map[string]bool {
	paths := make(map[string]bool)
	for _, route := range engine.Routes() {
		paths[route.Path] = true
	}
	return paths
}

// page mounts a handler that may answer with an error; web makes a page of it.
func (s *Server) page(handler func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := handler(c); err != nil {
			s.pages.Fail(c, err)
		}
	}
}

func (s *Server) notFound(c *gin.Context) error {
	return s.nothing(c, http.StatusNotFound, "error.nothing_here", "There is nothing at this address.")
}

func (s *Server) wrongMethod(c *gin.Context) error {
	return s.nothing(c, http.StatusMethodNotAllowed, "error.method", "This address cannot be asked in that way.")
}

// nothing answers where no handler does: a program in JSON, by the text; a person with a page, by the message of that name.
func (s *Server) nothing(c *gin.Context, status int, message, text string) error {
	if admin.Is(c.Request.URL.Path) {
		admin.Refusal(status, text).Write(c.Writer, c.Request)
		return nil
	}
	if path := c.Request.URL.Path; forApplications(path) && !strings.HasSuffix(path, "/oauth2/authorize") {
		s.provider.RefuseWith(c, status, text)
		return nil
	}
	return &web.Error{Status: status, Message: message}
}
