package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// keyHeader lets a request come again without being carried out again (draft-ietf-httpapi-idempotency-key-header).
const keyHeader = "Idempotency-Key"

// maxKey is how long a key may be.
const maxKey = 255

// keepPatience is how long an answer is waited for to be kept, also when whoever asked has gone.
const keepPatience = 5 * time.Second

// answer is an answer that is kept, as it goes out.
type answer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

func (a *answer) header() http.Header {
	if a.Header == nil {
		a.Header = make(http.Header)
	}
	return a.Header
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	a.Body = append(a.Body, p...)
	return len(p), nil
}

// send gives an answer out.
func (a *answer) send(hc huma.Context) {
	w := humagin.Unwrap(hc).Writer
	maps.Copy(w.Header(), a.header())
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // whoever asked has gone
}

// once carries a request under a key out, or gives the answer that there was. Only what succeeded is kept: what came to nothing may
// be tried again.
func (a *API) once(pass *exchange, who *caller, keys []string, next func(huma.Context)) error {
	if len(keys) > 1 || keys[0] == "" || len(keys[0]) > maxKey || strings.ContainsFunc(keys[0], func(r rune) bool { return r <= ' ' || r > '~' }) {
		return problem(http.StatusBadRequest, typeInvalid, "",
			Offence{Header: keyHeader, Detail: fmt.Sprintf("It must be there once, and have 1 to %d visible characters of ASCII.", maxKey)})
	}
	home := tenant.With(pass.Context(), who.org)
	address := pass.URL()
	claim, kept, err := a.db.ClaimRequest(home, string(pass.body), who.name(nil), pass.Method(), address.EscapedPath(), address.RawQuery, keys[0])
	switch {
	case errors.Is(err, storage.ErrClaimed):
		return problem(http.StatusConflict, typeKeyInUse, "Wait, and ask again.").with("Retry-After", "1")
	case errors.Is(err, storage.ErrClaimedOtherwise):
		return problem(http.StatusUnprocessableEntity, typeKeyReused, "", Offence{Header: keyHeader, Detail: "It was used for a request with another body."})
	case errors.Is(err, storage.ErrAnswerLost):
		return problem(http.StatusConflict, typeAnswerLost, "The request was carried out, and the answer is lost. Look at what there is.")
	case err != nil:
		return err
	case claim == nil:
		var before answer
		if err := json.NewDecoder(bytes.NewReader(kept)).Decode(&before); err != nil {
			return fmt.Errorf("read a kept answer: %w", err)
		}
		before.header().Set("Idempotency-Replayed", "true")
		before.send(pass)
		return nil
	}

	pass.kept = &answer{Status: http.StatusOK}
	pass.gated = huma.WithContext(pass.gated, storage.WithClaim(pass.Context(), claim))
	next(pass)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(home), keepPatience)
	defer cancel()
	if pass.kept.Status < http.StatusMultipleChoices {
		var text []byte
		if text, err = json.Marshal(pass.kept); err == nil {
			err = a.db.AnswerRequest(ctx, claim, text)
		}
	} else {
		err = a.db.GiveUpRequest(ctx, claim)
	}
	if err != nil { // what was done is done, and this is its answer
		a.log.WarnContext(ctx, "an answer was not kept", "cause", err)
	}
	pass.kept.send(pass)
	return nil
}
