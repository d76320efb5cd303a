package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Conditions of requests (RFC 9110 §13): a thing is read again only if it has changed, and changed only if it has not.

// Reading is what can be asked of one thing.
type Reading struct {
	IfNoneMatch string `header:"If-None-Match" doc:"The entity tag of what is known already: if it is the same, the answer is 304."`
}

// Changing is what can be asked of a change.
type Changing struct {
	IfMatch string `header:"If-Match" doc:"The entity tag of what is to be changed: if it is not that any more, nothing is done and the answer is 412."`
}

// one is one thing, as it is answered.
type one[T any] struct {
	Status   int
	ETag     string `header:"ETag"`
	Location string `header:"Location" doc:"Where it is, when it has just been made."`
	Body     T
}

// nothing is the answer of what leaves nothing to say.
type nothing struct{}

// tagOf is the strong entity tag of a thing: a digest of what is answered.
func tagOf(body any) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("write an answer: %w", err)
	}
	sum := sha256.Sum256(text)
	const length = 18 // bytes, which are 24 characters
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:length]) + `"`, nil
}

// shown answers with one thing.
func shown[T any](body T) (*one[T], error) {
	tag, err := tagOf(body)
	return &one[T]{Status: http.StatusOK, ETag: tag, Body: body}, err
}

// unless answers with one thing unless it is known already.
func (r Reading) unless(tag string) bool {
	return r.IfNoneMatch != "" && matches(r.IfNoneMatch, tag, true)
}

func shownUnless[T any](r Reading, body T) (*one[T], error) {
	out, err := shown(body)
	if err == nil && r.unless(out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, err
}

// made answers with a thing that has just been made.
func made[T any](ctx context.Context, a *API, name string, body T) (*one[T], error) {
	out, err := shown(body)
	if err != nil {
		return nil, err
	}
	out.Status, out.Location = http.StatusCreated, a.base+strings.TrimSuffix(addressOf(ctx).EscapedPath(), "/")+"/"+escapePath(name)
	return out, nil
}

// matches compares the tags of a condition with a thing's own. Weak tags never stand for a thing that is to be changed (RFC 9110
// §8.8.3.2).
func matches(condition, tag string, weak bool) bool {
	if strings.TrimSpace(condition) == "*" {
		return true
	}
	return slices.ContainsFunc(strings.Split(condition, ","), func(given string) bool {
		given = strings.TrimSpace(given)
		if weak {
			given = strings.TrimPrefix(given, "W/")
		}
		return given == tag
	})
}

// unchanged carries a deed out if what it changes is as whoever asks knows it. lock keeps others from Changing it meanwhile, and
// current is what would be answered of it at this moment.
func (a *API) unchanged(ctx context.Context, c Changing, lock func(context.Context) error, current func(context.Context) (any, error),
	deed func(context.Context) error,
) error {
	if c.IfMatch == "" {
		return deed(ctx)
	}
	return a.db.InTx(ctx, func(ctx context.Context) error {
		if err := lock(ctx); err != nil {
			return err
		}
		body, err := current(ctx)
		if err != nil {
			return err
		}
		tag, err := tagOf(body)
		if err != nil {
			return err
		}
		if !matches(c.IfMatch, tag, false) {
			return problem(http.StatusPreconditionFailed, typeStale, "It is not as you know it any more.", Offence{Header: "If-Match", Detail: "It is stale."})
		}
		return deed(ctx)
	})
}
