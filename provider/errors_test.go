package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

func TestEveryErrorHasARegisteredAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"an outage", storage.ErrUnavailable, 503, "temporarily_unavailable"},
		{"an outage that fosite took for a wrong code", fosite.ErrInvalidGrant.WithWrap(fmt.Errorf("read: %w", storage.ErrUnavailable)), 503, "temporarily_unavailable"},
		{"an outage that fosite took for its own fault", fosite.ErrServerError.WithWrap(storage.ErrUnavailable), 503, "temporarily_unavailable"},
		{"a slow database", fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "temporarily_unavailable"},
		{"the loser of a race", fosite.ErrServerError.WithWrap(fosite.ErrInvalidatedAuthorizeCode), 400, "invalid_grant"},
		{"spent meanwhile", fmt.Errorf("commit: %w", storage.ErrSpent), 400, "invalid_grant"},
		{"reuse", fosite.ErrInvalidGrant, 400, "invalid_grant"},
		{"fosite's own word for an inactive token", fosite.ErrInactiveToken, 400, "invalid_grant"},
		{"fosite's own word for a scope", fosite.ErrScopeNotGranted, 400, "invalid_scope"},
		{"fosite's own word for a state", fosite.ErrInvalidState, 400, "invalid_request"},
		{"fosite's own word for a mode", fosite.ErrUnsupportedResponseMode, 400, "invalid_request"},
		{"an assertion seen before", fosite.ErrJTIKnown, 400, "invalid_client"},
		{"fosite's answer without a code", &fosite.RFC6749Error{ErrorField: "error", CodeField: 500}, 500, "server_error"},
		{"a fault", errors.New("sql: something with a table name"), 500, "server_error"},
		{"a target", errInvalidTarget, 400, "invalid_target"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := answerFor(test.err)
			if got.status != test.status || got.code != test.code {
				t.Errorf("got %d %s", got.status, got.code)
			}
			if _, ok := registered[got.code]; !ok {
				t.Errorf("%s is registered nowhere", got.code)
			}
			if strings.Contains(got.description, "table name") || got.description == "" {
				t.Errorf("the description is %q", got.description)
			}
		})
	}
}

// Whoever went away is neither an outage nor a fault of ours, whatever the libraries in between made of it.
func TestACallerWhoWentAwayIsNoFault(t *testing.T) {
	var log bytes.Buffer
	pages, err := web.New(web.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{log: slog.New(slog.NewTextHandler(&log, nil)), pages: pages}
	ask := func(gone bool, err error) int {
		answer := httptest.NewRecorder()
		c := gin.CreateTestContextOnly(answer, gin.New())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if gone {
			cancel()
		}
		c.Request = httptest.NewRequest(http.MethodPost, "/oauth2/token", nil).WithContext(ctx)
		p.jsonError(c, err)
		return c.Writer.Status()
	}
	cancelled := fosite.ErrServerError.WithWrap(fmt.Errorf("read code: %w", context.Canceled))
	if status := ask(true, cancelled); status != 499 || log.Len() > 0 {
		t.Errorf("%d\n%s", status, &log)
	}
	if status := ask(false, cancelled); status != 500 || log.Len() == 0 {
		t.Errorf("what we have cancelled ourselves: %d\n%s", status, &log)
	}
	if status := ask(true, storage.ErrUnavailable); status != 503 {
		t.Errorf("an outage: %d", status)
	}
}

func TestDescriptionsKeepToTheirCharacters(t *testing.T) {
	got := describe(fosite.ErrInvalidScope.WithHint("scope \"a\\b\" é \x00\n" + strings.Repeat("x", 10_000)))
	if len(got) > maxDescription {
		t.Errorf("%d characters", len(got))
	}
	for _, r := range got {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			t.Errorf("%q may not stand in error_description (RFC 6749 §5.2)", r)
		}
	}
}

func FuzzTokenForm(f *testing.F) {
	f.Add("grant_type=authorization_code&code=x")
	f.Add("a=1&a=2")
	f.Add("resource=https://a&resource=https://b")
	f.Add("%zz=1;b")
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form, err := readForm(r)
		if err == nil {
			err = acceptParams(form)
		}
		if err != nil {
			if said := answerFor(err); said.status != http.StatusBadRequest {
				t.Fatalf("%q is the sender's fault, not %d", body, said.status)
			}
			return
		}
		for name, values := range form {
			if len(values) > 1 && name != "resource" {
				t.Fatalf("%q got through %d times", name, len(values))
			}
		}
	})
}
