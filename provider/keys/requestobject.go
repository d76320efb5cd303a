package keys

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

const (
	// None is what a JWT that nobody has signed names as its algorithm (RFC 7519 §6).
	None = "none"

	// RequestObjectType is the type of request objects (RFC 9101 §10.8), without the prefix that may be left out (RFC 7515 §4.1.9).
	RequestObjectType = "oauth-authz-req+jwt"

	// requestObjectLife is for how long the request object of a client that must sign its requests is good, from its nbf on, which thus is
	// no longer ago either (FAPI 2.0 Message Signing §5.3).
	requestObjectLife = time.Hour
)

// RequestObjectRules are what an organization asks of request objects.
type RequestObjectRules struct {
	Issuer string // whom a request object must be for, if it says whom
	// Unsigned lets clients that are registered for the algorithm none send request objects without a signature.
	Unsigned bool
}

// VerifyRequestObject checks that client has made a request object (OpenID Connect Core 1.0 §6.1, RFC 9101 §6), for the issuer, and that it is
// neither too old nor too new. What is wrong with it is an ErrToken. What it asks for is not looked at.
//
// OpenID Connect leaves iss, aud and all times to the client, so what does not stand there is not missed, and what stands there must be right.
// A client that is registered for signed request objects only must say everything (S-138): from whom it is, whom it is for, and until when.
func (c *ClientKeys) VerifyRequestObject(ctx context.Context, client *storage.Client, text string, rules RequestObjectRules) (*Token, error) {
	t, err := c.readRequestObject(client, text, rules.Unsigned)
	if err != nil {
		return nil, err
	}
	if t.typ, err = requestObjectType(t.typ, client.RequiresSignedRequestObject()); err != nil {
		return nil, err
	}
	if err := checkRequestObject(t.claims, client, rules.Issuer, time.Now()); err != nil {
		return nil, err
	}
	if t.alg != None {
		if err := c.verify(ctx, client, t); err != nil {
			return nil, err
		}
	}
	return &Token{Alg: t.alg, Typ: t.typ, KID: t.kid, Claims: t.claims}, nil
}

// readRequestObject reads a request object by the algorithm that the client is registered for, or one of those that there are. That there
// is no signature is for those alone that are registered for it (S-137).
func (c *ClientKeys) readRequestObject(client *storage.Client, text string, unsigned bool) (*compactToken, error) {
	only := client.RequestObjectSigningAlg()
	switch {
	case only == None && (!unsigned || client.RequiresSignedRequestObject()):
		return nil, refuse("one without a signature is not accepted here")
	case only == None:
		return parseUnsigned(text)
	case only != "":
		return parseCompact(text, intersect(ClientAlgorithms(), []string{only}))
	}
	return parseCompact(text, ClientAlgorithms())
}

// parseUnsigned reads an unsecured JWT (RFC 7519 §6).
func parseUnsigned(text string) (*compactToken, error) {
	t, signature, err := readCompact(text, []string{None})
	if err != nil {
		return nil, err
	}
	if signature != "" {
		return nil, refuse("it has a signature, and an algorithm that makes none")
	}
	return t, nil
}

// requestObjectType returns the type of a request object in one form. Other JWTs that a client signs have other types, or none; so a client that
// may be asked for it must say that it is a request object (RFC 8725 §3.11).
func requestObjectType(typ string, explicit bool) (string, error) {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if typ == RequestObjectType || !explicit && (typ == "" || typ == "jwt") {
		return typ, nil
	}
	return "", refuse("it is of another type")
}

// checkRequestObject judges the claims that are about the request object itself.
func checkRequestObject(claims Claims, client *storage.Client, issuer string, now time.Time) error {
	strict := client.RequiresSignedRequestObject()
	if _, there := claims["exp"]; there || strict {
		if err := claims.CheckTimes(now); err != nil {
			return err
		}
	} else if err := claims.checkBegun(now); err != nil {
		return err
	}
	if strict {
		if err := checkLife(claims); err != nil {
			return err
		}
	}
	if _, there := claims["iss"]; (there || strict) && claims.Text("iss") != client.ClientID {
		return refuse("its iss is not the client's identifier")
	}
	// Unlike an assertion it proves nothing to those that it is for as well, so it may be for several (RFC 9101 §4).
	if _, there := claims["aud"]; (there || strict) && !slices.Contains(claims.Texts("aud"), issuer) {
		return refuse("its aud is not the issuer")
	}
	// RFC 9101 §10.8: that is an assertion by which the client authenticates.
	if claims.Text("sub") == client.ClientID {
		return refuse("its sub is the client's identifier, as that of an assertion is")
	}
	return nil
}

// checkLife refuses what is good for too long, or says no bounds.
func checkLife(claims Claims) error {
	begins, there, err := claims.Date("nbf")
	if err != nil {
		return err
	}
	if !there {
		return refuse("it has no nbf")
	}
	ends, _, err := claims.Date("exp")
	if err != nil {
		return err
	}
	if ends.After(begins.Add(requestObjectLife)) {
		return refuse("it is good for more than an hour")
	}
	return nil
}
