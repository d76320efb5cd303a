package keys

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
)

// StatementIssuer is somebody whose software statements are believed (RFC 7591 §2.3).
type StatementIssuer struct {
	// Of is the organization that believes them.
	Of uuid.UUID
	// JWKS are their public keys; where it is empty, JWKSURI is where those are published.
	JWKS, JWKSURI string
	// Algorithms are what they sign by; none means any that is accepted of clients.
	Algorithms []string
}

// StatementIssuerOf returns who a software statement says that it is of. It proves nothing. What cannot be read is of nobody.
func StatementIssuerOf(statement string) string {
	t, err := parseCompact(statement, ClientAlgorithms())
	if err != nil {
		return ""
	}
	return t.claims.Text("iss")
}

// VerifyStatement checks a software statement: that by has signed it, that its time has come and is not over, and that it is for one of
// audiences, if it says whom it is for. What is wrong with it is an ErrToken. It may be shown any number of times: every installation of the
// software brings the same.
func (c *ClientKeys) VerifyStatement(ctx context.Context, statement string, by StatementIssuer, audiences ...string) (Claims, error) {
	algs := ClientAlgorithms()
	if len(by.Algorithms) > 0 {
		algs = intersect(algs, by.Algorithms)
	}
	t, err := parseCompact(statement, algs)
	if err != nil {
		return nil, err
	}
	// An explicit type keeps what else the issuer signs from passing for a statement (RFC 8725 §3.11).
	if t.typ != "" && !strings.EqualFold(t.typ, "JWT") && !strings.EqualFold(t.typ, "software-statement+jwt") {
		return nil, refuse("it is of another type")
	}
	if _, ends := t.claims["exp"]; ends { // a statement need not end
		err = t.claims.CheckTimes(time.Now())
	} else {
		err = t.claims.checkBegun(time.Now())
	}
	if err != nil {
		return nil, err
	}
	if _, says := t.claims["aud"]; says && !slices.ContainsFunc(t.claims.Texts("aud"), func(one string) bool { return slices.Contains(audiences, one) }) {
		return nil, refuse("it is for somebody else")
	}
	issuer := &storage.Client{ID: by.Of}
	if by.JWKS != "" {
		issuer.JWKS = &by.JWKS
	} else {
		issuer.JWKSURI = &by.JWKSURI
	}
	if err := c.verify(ctx, issuer, t); err != nil {
		return nil, err
	}
	return t.claims, nil
}
