package proof

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/strictjson"
)

// Request is what a request for authentication asks of its acr claim.
type Request struct {
	// Values are the contexts that it would take, the one it likes best first. None: it does not ask.
	Values []string
	// Essential is true when it takes nothing else (OpenID Connect Core 1.0 §5.5.1.1).
	Essential bool
}

// The bounds of the claims parameter.
const (
	maxClaims = 8 << 10 // bytes
	maxValues = 20
)

// ErrClaims says that the claims parameter is not what OpenID Connect Core 1.0 §5.5 has there.
var ErrClaims = errors.New("the claims parameter must be a JSON object of the members userinfo and id_token")

// ReadRequest reads acr_values and, of the claims parameter, what it says of the acr of the ID token. Where both ask, claims is
// the more particular of the two and counts. otherwise are the values of whoever asks for none.
func ReadRequest(params url.Values, otherwise []string) (Request, error) {
	r := Request{Values: strings.Fields(params.Get("acr_values"))}
	if len(r.Values) == 0 {
		r.Values = otherwise
	}
	if len(r.Values) > maxValues {
		r.Values = r.Values[:maxValues]
	}
	text := params.Get("claims")
	if text == "" {
		return r, nil
	}
	asked, err := acrClaim(text)
	if err != nil || asked == nil {
		return r, err
	}
	switch {
	case len(asked.Values) > 0:
		r.Values = asked.Values
	case asked.Essential && len(r.Values) == 0:
		return r, nil // any will do, and there always is one
	}
	r.Essential = asked.Essential
	return r, nil
}

// acrClaim is the member acr of the member id_token, or nil when nothing is said of it.
func acrClaim(text string) (*Request, error) {
	if len(text) > maxClaims {
		return nil, ErrClaims
	}
	claims, err := strictjson.Object([]byte(text))
	if err != nil {
		return nil, ErrClaims
	}
	// What is asked of userinfo need not be understood, but has to be of the right form.
	for _, name := range []string{"userinfo", "id_token"} {
		if member, ok := claims[name]; ok && string(member) != "null" {
			if _, err := strictjson.Object(member); err != nil {
				return nil, ErrClaims
			}
		}
	}
	member, ok := claims["id_token"]
	if !ok || string(member) == "null" {
		return nil, nil
	}
	idToken, err := strictjson.Object(member)
	if err != nil {
		return nil, ErrClaims
	}
	acr, ok := idToken["acr"]
	if !ok || string(acr) == "null" {
		return nil, nil
	}
	members, err := strictjson.Object(acr)
	if err != nil {
		return nil, ErrClaims
	}
	var r Request
	var value string
	for name, to := range map[string]any{"essential": &r.Essential, "values": &r.Values, "value": &value} {
		if member, ok := members[name]; ok && json.Unmarshal(member, to) != nil {
			return nil, ErrClaims
		}
	}
	if value != "" {
		r.Values = []string{value}
	}
	if len(r.Values) > maxValues {
		return nil, ErrClaims
	}
	return &r, nil
}

// Met is the value that was asked for and that a context meets, the one that is liked best; the context itself where none is.
// The stronger context meets a request for the weaker, which it includes.
func (r Request) Met(acr string) string {
	for _, value := range r.Values {
		if meets(acr, value) {
			return value
		}
	}
	return acr
}

// Satisfied reports whether a context is among those asked for, or nothing is asked for.
func (r Request) Satisfied(acr string) bool {
	return len(r.Values) == 0 || slices.ContainsFunc(r.Values, func(value string) bool { return meets(acr, value) })
}

// WantsMulti reports whether more than acr is worth asking the person for: the request insists on two factors, or likes them
// better than what there is.
func (r Request) WantsMulti(acr string) bool {
	if acr == Multi {
		return false
	}
	for _, value := range r.Values {
		switch {
		case value == Multi:
			return true
		case meets(acr, value):
			return false
		}
	}
	return false
}

// Demand is how much a request wants of a person, beside what their organization and they themselves have decided.
type Demand int

// What can be demanded.
const (
	// AsDecided: nothing more.
	AsDecided Demand = iota
	// TwoIfThere: two factors of whoever has them.
	TwoIfThere
	// Two: two factors, to be set up where there are none.
	Two
)

// Demand is what a request wants of a person who signs in. Whoever asks for two factors and names nothing else that would do is
// not answered with one: an API that sent the application here for more would only send it here again (RFC 9470 §5).
func (r Request) Demand() Demand {
	switch {
	case !r.WantsMulti(One):
		return AsDecided
	case r.Satisfied(One):
		return TwoIfThere
	}
	return Two
}

// Impossible reports whether the request insists on what there is not.
func (r Request) Impossible() bool {
	return r.Essential && len(r.Values) > 0 && !slices.ContainsFunc(r.Values, func(value string) bool { return slices.Contains(Values(), value) })
}

func meets(acr, value string) bool {
	return value == acr && slices.Contains(Values(), acr) || acr == Multi && value == One
}
