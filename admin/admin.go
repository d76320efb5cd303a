package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// Path is where the API stands, below the base address; that address is its identifier as a resource (RFC 8707).
const Path = "/api/v1"

// MaxBody is how much a request may bring, in bytes.
const MaxBody = 256 << 10

// Deps is what the API needs.
type Deps struct {
	DB        *storage.DB
	Operators *manage.Operators
	Keyring   *seal.Keyring
	Log       *slog.Logger
	// IdleTimeout is after how long a session ends that is not used, where the organization says nothing.
	IdleTimeout time.Duration
	// LongestToken is the life of the longest-lived token.
	LongestToken time.Duration
}

// API is the management API. It is safe for concurrent use.
type API struct {
	db        *storage.DB
	operators *manage.Operators
	keyring   *seal.Keyring
	log       *slog.Logger
	base      string
	// audience is what a token must be for.
	audience     string
	idleTimeout  time.Duration
	longestToken time.Duration

	huma huma.API
	// requests counts in this process, bundles for all of them.
	requests *throttle.Local
	bundles  *throttle.Bundles
}

// New returns the API.
func New(d Deps) *API {
	a := &API{
		db: d.DB, operators: d.Operators, keyring: d.Keyring, log: d.Log, base: d.Operators.Addresses().Base, audience: d.Operators.Addresses().Management(),
		idleTimeout: d.IdleTimeout, longestToken: d.LongestToken, bundles: throttle.NewBundles(throttle.APIBundle),
		requests: throttle.NewLocal(throttle.Limit{Name: throttle.APIActor.Name, Burst: throttle.APIActor.Burst * throttle.APIBundle, Per: throttle.APIActor.Per}),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a
}

// Mount mounts every operation, and the document that they make.
func (a *API) Mount(engine *gin.Engine) {
	settle()
	group := engine.Group(Path)
	a.huma = humagin.NewWithGroup(engine, group, a.config())
	a.mountMe()
	a.mountOrganizations()
	a.mountHosts()
	a.mountSettings()
	a.mountUsers()
	a.mountTransfer()
	a.mountFactors()
	a.mountRoles()
	a.mountPermissions()
	a.mountSessions()
	a.mountGrants()
	a.mountTokens()
	a.mountInvitations()
	a.mountClients()
	a.mountRegistrationTokens()
	a.mountAPIs()
	a.mountProviders()
	a.mountKeys()
	a.mountConfiguration()
	a.mountAudit()
	a.mountAuditTrail()
	a.mountDocument(group)
}

// config is what huma needs to know. Its documentation pages bring scripts of others, and its links to schemas nobody asks for.
func (a *API) config() huma.Config {
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: json.Unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Keizer management API", Version: "1",
				Description: "Organizations of a Keizer server and all that is in them. Requests bring an access token of the server's own, for the resource " +
					"`" + a.audience + "`, with the permissions as its scopes. Refusals are problems (RFC 9457).",
			},
			Servers: []*huma.Server{{URL: a.audience}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", nameOf),
				SecuritySchemes: map[string]*huma.SecurityScheme{scheme: {
					Type: "http", Scheme: "bearer", Description: "An access token of the organization, or of the root organization.",
				}},
			},
		},
		Formats:                      map[string]huma.Format{mediaTypeJSON: format, "json": format},
		DefaultFormat:                mediaTypeJSON,
		RejectUnknownQueryParameters: true,
	}
}

// scheme is what the document calls the way in which requests say whom they are from.
const scheme = "bearer"

// mountDocument serves what the operations say of themselves. It is the same for everybody, and no secret. It is made when it is first
// asked for: that takes longer than all else of a start.
func (a *API) mountDocument(group *gin.RouterGroup) {
	for path, document := range map[string]struct {
		kind string
		text func() ([]byte, error)
	}{
		"/openapi.json": {mediaTypeJSON, func() ([]byte, error) { return json.Marshal(a.huma.OpenAPI()) }},
		"/openapi.yaml": {"application/yaml", a.huma.OpenAPI().YAML},
	} {
		text := sync.OnceValue(func() []byte {
			text, err := document.text()
			if err != nil {
				panic("the document is made of our own types: " + err.Error())
			}
			return text
		})
		group.Match([]string{http.MethodGet, http.MethodHead}, path, func(c *gin.Context) {
			c.Data(http.StatusOK, document.kind, text())
		})
	}
}

// Is reports whether an address is one of the API.
func Is(path string) bool { return strings.HasPrefix(path, "/api/") || path == "/api" }
