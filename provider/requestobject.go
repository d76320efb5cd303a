package provider

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// aboutObject are the claims that say something of a request object and nothing of the request (RFC 9101 §4).
var aboutObject = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// readObject has a request asked as its request object asks it (RFC 9101, OpenID Connect Core 1.0 §6), if it brings one. After an error
// everything stands as the browser, or the client that pushes, has sent it: nothing of an object that is refused counts, not even where
// the client is to hear of it. What comes of it is an ordinary request, which is stored as such: an object is read once.
func (p *Provider) readObject(ctx context.Context, a *authorization, pushed bool) error {
	value, uri := a.form["request"], a.form["request_uri"]
	if len(value) > 1 || len(uri) > 1 {
		return fosite.ErrInvalidRequest.WithHint("The request names more than one request object.")
	}
	text, at := a.form.Get("request"), a.form.Get("request_uri")
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	decided := org.Decided().Requests
	switch {
	case text == "" && at == "" && a.client.RequiresSignedRequestObject():
		return fosite.ErrInvalidRequest.WithHint("The client is registered to ask by signed request objects only.") // RFC 9101 §10.5
	case text == "" && at == "":
		return nil
	case text != "" && at != "":
		return fosite.ErrInvalidRequest.WithHint("A request has a request or a request_uri, not both.") // RFC 9101 §5
	case at != "" && !decided.ByReference:
		return fosite.ErrRequestURINotSupported.WithHint("request_uri is supported for pushed authorization requests only.")
	case text != "" && !decided.ByValue:
		return fosite.ErrRequestNotSupported.WithHint("Request objects are not supported.")
	}
	if at != "" {
		if text, err = p.requestObjects.get(ctx, a.client, at); err != nil {
			if cause := errors.Unwrap(err); cause != nil {
				p.log.InfoContext(ctx, "a request object was not had", "client", a.client.ClientID, "cause", cmp.Or(outbound.Cause(cause), cause))
			}
			return err
		}
	}
	object, err := p.openObject(ctx, a.client.Client, text)
	if errors.Is(err, keys.ErrToken) {
		return fosite.ErrInvalidRequestObject.WithWrap(err).WithHint(
			"The request object is not accepted: " + strings.TrimPrefix(err.Error(), keys.ErrToken.Error()+": ") + ".")
	}
	if err != nil {
		return err
	}
	return a.takeObject(object, pushed)
}

// openObject decrypts a request object that is encrypted, and verifies who made it. One is signed first and then encrypted (OpenID Connect
// Core 1.0 §6.1). A client that is registered for a way of encrypting encrypts in no other; that it encrypts at all is for it to decide.
func (p *Provider) openObject(ctx context.Context, client *storage.Client, text string) (*keys.Token, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	decided := org.Decided().Requests
	if decided.Encrypted && keys.IsEncrypted(text) {
		algs, encs := keys.EncryptionAlgorithms(), keys.ContentAlgorithms()
		if alg, enc := client.RequestObjectEncryption(); alg != "" {
			algs, encs = []string{alg}, []string{cmp.Or(enc, keys.A128CBCHS256)}
		}
		if text, err = p.keys.Decrypt(ctx, text, algs, encs); err != nil {
			return nil, err
		}
	}
	return p.clientKeys.VerifyRequestObject(ctx, client, text, keys.RequestObjectRules{Issuer: org.Issuer, Unsigned: decided.Unsigned})
}

// takeObject puts what a request object asks for in place of the parameters that came along with it. By RFC 9101 §6.3 nothing else counts.
// OpenID Connect lets what does not stand in the object be asked beside it (Core §6.1), and so knows a request that is one of its own by
// what it demands to stand there: the scope openid, and the response type. A pushed object is all there is (RFC 9126 §3).
func (a *authorization) takeObject(object *keys.Token, pushed bool) error {
	refused := func(reason string) error {
		return fosite.ErrInvalidRequestObject.WithHint("The request object is not accepted: " + reason + ".")
	}
	for _, name := range []string{"request", "request_uri"} {
		if _, there := object.Claims[name]; there {
			return fosite.ErrInvalidRequest.WithHintf("A request object cannot itself have a %s.", name) // RFC 9101 §4
		}
	}
	inside, err := objectParams(object.Claims)
	if err != nil {
		return refused(err.Error())
	}
	whole := pushed || object.Typ == keys.RequestObjectType || a.client.RequiresSignedRequestObject() || !slices.Contains(a.scopes(), scopeOpenID)
	beside := a.form["response_type"]
	switch asked := inside.Get("response_type"); {
	case inside.Has("client_id") && inside.Get("client_id") != a.client.ClientID:
		return refused("its client_id is another than that of the request")
	case whole && !inside.Has("client_id"):
		return refused("it has no client_id")
	case !whole && (len(beside) != 1 || beside[0] == ""):
		return fosite.ErrInvalidRequest.WithHint("The response_type is missing beside the request object.")
	case asked != "" && slices.ContainsFunc(beside, func(one string) bool { return one != "" && !sameResponseType(one, asked) }):
		return refused("its response_type is another than that of the request")
	}
	form := inside
	if !whole {
		form = maps.Clone(a.form)
		maps.Copy(form, inside)
		form.Del("request")
		form.Del("request_uri")
	}
	form.Set("client_id", a.client.ClientID)
	a.form = form
	return nil
}

func sameResponseType(a, b string) bool {
	one, ok := responsetype.Parse(a)
	other, known := responsetype.Parse(b)
	return a == b || ok && known && one == other
}

// objectParams are the parameters that the claims of a request object are (RFC 9101 §4): texts as they are, several where a parameter may
// be repeated, and whatever else JSON has as its text.
func objectParams(claims keys.Claims) (url.Values, error) {
	if len(claims) > maxParams {
		return nil, errors.New("it has too many members")
	}
	form := make(url.Values, len(claims))
	for name, raw := range claims {
		if slices.Contains(aboutObject, name) || slices.Contains(credentialParams[:], name) || name == paramInteraction || name == paramPAR {
			continue
		}
		switch raw[0] {
		case '"':
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, errors.New("it has a text that is none")
			}
			form.Set(name, text)
		case 'n':
			return nil, errors.New("it has a member that is null")
		default:
			var several []string
			if repeatable[name] && json.Unmarshal(raw, &several) == nil {
				form[name] = several
				continue
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				return nil, errors.New("it has a member that is not JSON")
			}
			form.Set(name, compact.String())
		}
	}
	return form, nil
}
