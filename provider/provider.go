package provider

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
	"github.com/keizer-auth/keizer/web"
)

// Deps is what a Provider stands on.
type Deps struct {
	DB         *storage.DB
	Keys       *keys.Keys
	ClientKeys *keys.ClientKeys
	Operators  *manage.Operators
	Keyring    *seal.Keyring
	Pages      *web.Pages
	Sessions   *web.Sessions
	People     *people.People
	Log        *slog.Logger
	Lifetimes  Lifetimes
	// Outside is how clients are spoken to.
	Outside *outbound.Client
	// Management is the identifier of the management API, as the audience of tokens.
	Management string
}

// Provider answers for every organization; which one it answers for stands in the context of each request.
type Provider struct {
	db            *storage.DB
	keys          *keys.Keys
	clientKeys    *keys.ClientKeys
	keyring       *seal.Keyring
	pages         *web.Pages
	sessions      *web.Sessions
	people        *people.People
	log           *slog.Logger
	lifetimes     Lifetimes
	clients       *fositestore.Clients
	store         *fositestore.Store
	catalogues    *catalogues
	authenticator *clientAuthenticator
	// failures are of clients that fail to prove who they are.
	failures *throttle.Local
	// pushes are the requests that clients push, by the bundle.
	pushes     *throttle.Bundles
	clientAlgs []string
	fosite     *fosite.Fosite
	metadata   *documents
	idTokens   *idTokenHandler
	protector  *protector
	subjects   *subjects
	sources    *claimSources
	outside    *http.Client
	// requestObjects are those that clients keep at addresses of theirs.
	requestObjects *requestObjects
	registrar      *manage.Registrar
}

// New puts a Provider together.
func New(d Deps) *Provider {
	clients := fositestore.NewClients(d.DB)
	store := fositestore.New(d.DB, clients)
	subjects := newSubjects(d.DB)
	strategy := &tokenStrategy{keys: d.Keys, subjects: subjects}

	p := &Provider{
		db: d.DB, keys: d.Keys, clientKeys: d.ClientKeys, keyring: d.Keyring, pages: d.Pages, sessions: d.Sessions, people: d.People,
		log: d.Log, lifetimes: d.Lifetimes,
		clients: clients, store: store, catalogues: newCatalogues(d.DB, d.Management),
		authenticator:  &clientAuthenticator{clients: clients, assertions: keys.NewAssertionVerifier(d.DB, d.ClientKeys)},
		failures:       throttle.NewLocal(throttle.ClientNetwork),
		pushes:         throttle.NewBundles(throttle.PushBundle),
		clientAlgs:     keys.ClientAlgorithms(),
		metadata:       newDocuments(),
		outside:        d.Outside.HTTP(maxLogoutAnswer),
		requestObjects: newRequestObjects(d.Outside),
		subjects:       subjects,
		sources:        newClaimSources(d.DB),
		protector:      &protector{keys: d.Keys, clients: d.ClientKeys},
		registrar:      d.Operators.Registrar(d.ClientKeys),
	}
	strategy.about = p.tellOf
	p.idTokens = &idTokenHandler{protector: p.protector, subjects: subjects, lifetimes: d.Lifetimes, about: p.tellOf}

	// The order matters: the challenge is checked before a code is made, and the verifier after the code was read.
	config := newConfigurator(d.Lifetimes, authenticated)
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: strategy, RefreshTokenStrategy: strategy, AuthorizeCodeStrategy: strategy,
		CoreStorage: store, TokenRevocationStorage: store, Config: config,
	}
	config.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{
		pkceHandler{}, code, &directHandler{code: code, tokens: strategy, store: store, config: config},
	}
	config.TokenEndpointHandlers = fosite.TokenEndpointHandlers{
		code,
		pkceHandler{},
		&oauth2.RefreshTokenGrantHandler{
			AccessTokenStrategy: strategy, RefreshTokenStrategy: strategy, TokenRevocationStorage: store, Config: config,
		},
		&oauth2.ClientCredentialsGrantHandler{
			HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: strategy, AccessTokenStorage: store, Config: config},
			Config:       config,
		},
		p.idTokens,
	}
	p.fosite = fosite.NewOAuth2Provider(store, config)
	return p
}

// writeJSON answers an application. Nothing said there may be kept (RFC 6749 §5.1).
func (p *Provider) writeJSON(c *gin.Context, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		p.log.ErrorContext(c.Request.Context(), "an answer could not be encoded", "cause", err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Writer.Header()["Cache-Control"] = noStore
	writeBody(c, status, jsonContent, encoded)
}

// writeJWT answers an application with a JWT, of which nothing may be kept either.
func (p *Provider) writeJWT(c *gin.Context, contentType []string, token string) {
	c.Writer.Header()["Cache-Control"] = noStore
	writeBody(c, http.StatusOK, contentType, []byte(token))
}

// writeBody writes an answer along with its length: without that, net/http would send what is longer than its buffer in chunks.
func writeBody(c *gin.Context, status int, contentType []string, body []byte) {
	header := c.Writer.Header()
	header["Content-Type"] = contentType
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.Status(status)
	_, _ = c.Writer.Write(body) // the caller has gone; there is nobody to tell
}

func encodeSealed(sealed []byte) string { return base64.RawURLEncoding.EncodeToString(sealed) }

func decodeSealed(encoded string) ([]byte, error) {
	return base64url.Decode(encoded)
}
