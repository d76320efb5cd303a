package playground

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/relyingparty"
	"github.com/keizer-auth/keizer/web"
)

//go:embed templates/playground.html
var templates embed.FS

//go:embed static/playground.css
var static embed.FS

// sheet is the playground's own style sheet, under a name that changes with what is in it.
type sheet struct {
	path string
	body []byte
}

// sheetPath is where the style sheet is mounted; the name is that of its content.
const sheetPath = HomePath + "/static/:name"

func readSheet() (sheet, error) {
	body, err := static.ReadFile("static/playground.css")
	if err != nil {
		return sheet{}, err
	}
	sum := sha256.Sum256(body)
	return sheet{path: HomePath + "/static/" + hex.EncodeToString(sum[:8]) + ".css", body: body}, nil
}

// assets are the addresses of what the page loads: the style sheet that all pages share, then the playground's own.
type assets struct {
	sheets []string
	icon   string
}

func readAssets(pages *web.Pages, own sheet) (assets, error) {
	shared, err := pages.Asset("keizer.css")
	if err != nil {
		return assets{}, err
	}
	icon, err := pages.Asset("keizer.svg")
	return assets{[]string{shared, own.path}, icon}, err
}

// Sheet serves GET /playground/static/{hash}.css.
func (p *Playground) Sheet(c *gin.Context) error {
	if c.Request.URL.Path != p.sheet.path {
		c.Status(http.StatusNotFound)
		return nil
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	c.Data(http.StatusOK, "text/css; charset=utf-8", p.sheet.body)
	return nil
}

// home is what the page is made from.
type home struct {
	asked     asked
	failure   *failure
	run       *run // nil when there is none to show
	signedOut bool
}

func (r *run) home() *home { return &home{asked: r.asked, failure: r.failure, run: r} }

// view is what the template sees.
type view struct {
	Base, ClientID, RedirectURI, CSRF string
	Stylesheets                       []string
	Icon                              string
	Asked                             asked
	Prompts, Modes                    []choice
	SignedOut                         string
	Failure                           *failure
	Verdict                           *verdict
	Request                           *address
	Callback                          []relyingparty.Field
	CallbackGood                      bool
	Tokens                            *tokensView
	Rotation                          *rotation
	Revoked                           bool
	ID                                *idView
	UserInfo, Introspection           string
	Exchanges                         []exchangeView
}

type choice struct {
	Value, Text string
	Chosen      bool
}

type verdict struct {
	Good         bool
	Text, Detail string
}

type address struct {
	Address    string
	Parameters []relyingparty.Field
}

type tokensView struct {
	Access, AccessMasked, Type, Until, Scope, Refresh, RefreshMasked string
	ExpiresIn                                                        int64
	JWT                                                              *jwtView
}

type jwtView struct{ Header, Payload string }

type idView struct {
	Checks              []relyingparty.Check
	Header, Claims, Raw string
}

type exchangeView struct {
	Step, Method, Path, Status, Took, Request, Answer, Curl string
	Good                                                    bool
}

// render writes the page. It is made in memory first, so that a fault is an error page and not half of this one.
func (p *Playground) render(c *gin.Context, status int, h *home, cookie string) error {
	if cookie == "" {
		cookie = newCookie()
		p.setCookie(c, cookie)
	}
	v := view{
		Base: p.deps.Base, ClientID: ClientID, RedirectURI: p.deps.Base + CallbackPath, CSRF: p.token(cookie),
		Stylesheets: p.assets.sheets, Icon: p.assets.icon, Asked: h.asked, Failure: h.failure,
		Prompts: choices(h.asked.Prompt, "", "none", "login", "consent", "select_account", "create"),
		Modes:   choices(h.asked.ResponseMode, responseModes...),
	}
	if h.signedOut {
		v.SignedOut = "The server has ended the session and brought the browser back with the state that it left with."
	}
	if h.run != nil {
		h.run.show(&v)
	}
	var page bytes.Buffer
	if err := p.page.Execute(&page, v); err != nil {
		return fmt.Errorf("render the playground: %w", err)
	}
	p.deps.Pages.Write(c, status, page.Bytes())
	return nil
}

// show fills in what a run has come to.
func (r *run) show(v *view) {
	v.Callback, v.CallbackGood, v.Rotation, v.Revoked = r.callback, r.answered, r.rotation, r.revoked
	v.Request = sentTo(r.sent)
	if r.tokens != nil {
		v.Tokens = showTokens(r.tokens)
	}
	if r.idToken != nil {
		v.ID = &idView{Checks: r.idToken.Checks, Header: indented(r.idToken.Header), Raw: r.idToken.Raw, Claims: indentedRaw(r.idToken.Payload)}
	}
	if r.userinfo != nil {
		v.UserInfo = indented(r.userinfo)
	}
	if r.introspection != nil {
		v.Introspection = indented(r.introspection)
	}
	if r.client != nil {
		for _, e := range r.client.Exchanges() {
			v.Exchanges = append(v.Exchanges, showExchange(e))
		}
	}
	if r.idToken != nil && r.idToken.Verified() && r.failure == nil && !r.revoked {
		name, _ := r.userinfo["name"].(string)
		if name == "" {
			name = r.idToken.Subject()
		}
		v.Verdict = &verdict{true, "Signed in as " + name + ".", fmt.Sprintf("All %d checks of the ID token passed.", len(r.idToken.Checks))}
	}
}

func choices(chosen string, values ...string) []choice {
	if !slices.Contains(values, chosen) {
		values = append(slices.Clone(values), chosen)
	}
	out := make([]choice, 0, len(values))
	for _, value := range values {
		text := value
		if value == "" {
			text = "left out"
		}
		out = append(out, choice{Value: value, Text: text, Chosen: value == chosen})
	}
	return out
}

// sentTo takes an authorization address apart. Nothing in it is a secret: the code challenge is a hash, and the state and
// the nonce have been used.
func sentTo(raw string) *address {
	u, err := url.Parse(raw)
	if err != nil || raw == "" {
		return nil
	}
	a := &address{Parameters: shownAnswer(u.Query())}
	u.RawQuery = ""
	a.Address = u.String()
	return a
}

// shownAnswer lists parameters by name, the code shortened.
func shownAnswer(values url.Values) []relyingparty.Field {
	var fields []relyingparty.Field
	for name, all := range values {
		for _, value := range all {
			if name == "code" {
				value = relyingparty.Mask(value)
			}
			if len(value) > longest {
				value = strings.ToValidUTF8(value[:longest], "") + "…"
			}
			fields = append(fields, relyingparty.Field{Name: name, Value: value})
		}
		if len(fields) > 50 {
			break // a stranger's parameters; the page need not hold them all
		}
	}
	slices.SortStableFunc(fields, func(a, b relyingparty.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

func showTokens(t *relyingparty.Tokens) *tokensView {
	v := &tokensView{
		Access: t.AccessToken, AccessMasked: relyingparty.Mask(t.AccessToken), Type: t.TokenType, Scope: t.Scope,
		Refresh: t.RefreshToken, RefreshMasked: relyingparty.Mask(t.RefreshToken), ExpiresIn: t.ExpiresIn,
		Until: t.ReceivedAt.Add(time.Duration(t.ExpiresIn) * time.Second).UTC().Format(time.RFC3339),
	}
	if header, payload, err := relyingparty.Decode(t.AccessToken); err == nil {
		v.JWT = &jwtView{indentedRaw(header), indentedRaw(payload)}
	}
	return v
}

// showExchange writes a request and its answer the way they look in a terminal.
func showExchange(e relyingparty.Exchange) exchangeView {
	v := exchangeView{
		Step: e.Step, Method: e.Method, Path: e.URL, Curl: e.Curl, Took: e.Took.Round(100 * time.Microsecond).String(),
		Good: e.Status >= 200 && e.Status <= 299, Status: fmt.Sprint(e.Status),
	}
	if u, err := url.Parse(e.URL); err == nil {
		v.Path = u.RequestURI()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", e.Method, e.URL)
	for _, f := range e.Header {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	if len(e.Form) > 0 {
		b.WriteByte('\n')
	}
	for _, f := range e.Form {
		fmt.Fprintf(&b, "%s = %s\n", f.Name, f.Value)
	}
	v.Request = strings.TrimSuffix(b.String(), "\n")

	b.Reset()
	if e.Status == 0 {
		v.Status = "no answer"
		v.Answer = e.Failure
		return v
	}
	fmt.Fprintf(&b, "%d %s\n", e.Status, http.StatusText(e.Status))
	for _, f := range e.Answer {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	if e.Body != "" {
		fmt.Fprintf(&b, "\n%s", e.Body)
	}
	if e.Failure != "" {
		fmt.Fprintf(&b, "\n%s", e.Failure)
	}
	v.Answer = strings.TrimSuffix(b.String(), "\n")
	return v
}

func indented(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // the template escapes
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// indentedRaw keeps the order in which the members came.
func indentedRaw(raw []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return string(bytes.ToValidUTF8(raw, []byte("\uFFFD")))
	}
	return b.String()
}
