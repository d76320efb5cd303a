package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/storage"
)

func TestEveryErrorEndsAsAPageThatSaysNothingItShouldNot(t *testing.T) {
	const canary = "SELECT secret FROM users; host=db.internal"
	for _, want := range []struct {
		name   string
		err    error
		status int
		says   string
		retry  string
	}{
		{"a fault of ours", errors.New(canary), 500, "Something went wrong on our side", ""},
		{"an outage", fmt.Errorf("read: %w", errors.Join(storage.ErrUnavailable, errors.New(canary))), 503, "cannot answer right now", "2"},
		{"a deadline", fmt.Errorf("%s: %w", canary, context.DeadlineExceeded), 503, "cannot answer right now", "2"},
		{"a crowd", fmt.Errorf("%s: %w", canary, password.ErrBusy), 503, "Many people are signing in", "2"},
		{"a limit", fmt.Errorf("%s: %w", canary, &throttle.Exceeded{Name: "canary", RetryAfter: 71*time.Second + time.Millisecond}), 429, "tried too often", "72"},
		{"a limit that is just about to end", &throttle.Exceeded{Name: "canary"}, 429, "tried too often", "1"},
		{"too much", fmt.Errorf("%s: %w", canary, &http.MaxBytesError{Limit: 1}), 413, "too large", ""},
		{"a page", fmt.Errorf("%s: %w", canary, &Error{Status: 400, Code: "invalid_request", Message: "A sentence.", Cause: errors.New(canary)}), 400, "A sentence.", ""},
		{"a page with a known text", &Error{Status: 403, Message: "error.foreign", Cause: errors.New(canary)}, 403, "started in another browser", ""},
		{"not found", fmt.Errorf("%s: %w", canary, storage.ErrNotFound), 500, "Something went wrong", ""},
		{"no organization", fmt.Errorf("%s: %w", canary, storage.ErrNoTenant), 500, "Something went wrong", ""},
	} {
		t.Run(want.name, func(t *testing.T) {
			var log bytes.Buffer
			pages := newPages(t, Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			w := answer(get("/"), acme, func(c *gin.Context) { pages.Fail(c, want.err) })
			body := w.Body.String()
			if w.Code != want.status || !strings.Contains(body, want.says) || w.Header().Get("Retry-After") != want.retry {
				t.Errorf("%d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), body)
			}
			if strings.Contains(body, "SELECT") || strings.Contains(body, "db.internal") {
				t.Error("the cause is shown")
			}
			if !strings.Contains(body, "REQUEST-ID") || !strings.Contains(body, ">Request error</h1>") {
				t.Errorf("a visitor cannot say what this was: %s", body)
			}
			checkPage(t, body, false)
			if lines := strings.Count(log.String(), "\n"); lines != 1 {
				t.Errorf("%d lines in the log: %s", lines, log.String())
			}
			if want.name != "a page" && !strings.Contains(log.String(), `"request":"REQUEST-ID"`) {
				t.Errorf("the log does not name the request: %s", log.String())
			}
			loud := strings.Contains(log.String(), `"level":"ERROR"`)
			if loud != (want.status == 500) {
				t.Errorf("it is logged as %s", log.String())
			}
		})
	}
}

func TestAVisitorWhoHasGoneIsToldNothing(t *testing.T) {
	pages := newPages(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := answer(get("/").WithContext(ctx), acme, func(c *gin.Context) { pages.Fail(c, fmt.Errorf("read: %w", context.Canceled)) })
	if w.Body.Len() > 0 || w.Code != statusGone {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A cancellation that is not the visitor's is a fault like any other.
	w = answer(get("/"), acme, func(c *gin.Context) { pages.Fail(c, context.Canceled) })
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d", w.Code)
	}
}

func TestAnErrorAfterTheAnswerHasBegunIsOnlyLogged(t *testing.T) {
	pages := newPages(t, Options{})
	w := answer(get("/"), acme, func(c *gin.Context) {
		c.String(http.StatusOK, "half")
		pages.Fail(c, errors.New("x"))
	})
	if w.Body.String() != "half" {
		t.Errorf("%s", w.Body)
	}
}

func TestTheWayBackIsOfferedOnlyToAnAddressThatIsOne(t *testing.T) {
	pages := newPages(t, Options{})
	for back, want := range map[string]bool{"https://app.example/": true, "javascript:alert(1)": false, "": false, "http://app.example/": false} {
		w := answer(get("/"), acme, func(c *gin.Context) { pages.Error(c, &Error{Status: 400, Message: "x", BackTo: back}) })
		if got := strings.Contains(w.Body.String(), `id="error-back"`); got != want {
			t.Errorf("%q: %v", back, got)
		}
	}
}

func TestOutsideOfAnyOrganizationThePageIsKeizers(t *testing.T) {
	pages := newPages(t, Options{})
	w := answer(get("/"), nil, func(c *gin.Context) {
		pages.Error(c, &Error{Status: 404, Message: "There is nothing at this address."})
	})
	if !strings.Contains(w.Body.String(), "<title>Request error · Keizer</title>") {
		t.Errorf("%s", w.Body)
	}
}
