package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/storage"
)

// The headings of error pages.
const (
	TitleError       = "title.error"
	TitleLogoutError = "title.logout_error"
)

// Error is an error that a visitor sees as a page.
type Error struct {
	Status int
	// Code is the registered error code of OAuth 2.0 or OpenID Connect, where there is one.
	Code string
	// Title is TitleError unless it is said otherwise.
	Title string
	// Message is for the visitor: the id of a text, or a sentence. It holds nothing that the visitor did not know.
	Message string
	// Cause is for the log and never shown.
	Cause error
	// BackTo is an address of the application, when the request has proven that it is one.
	BackTo string
	// Again is a path of ours where the visitor may try once more.
	Again string
	// RetryAfter is when to try again, where that is a matter of waiting.
	RetryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string {
	text := strconv.Itoa(e.Status) + " " + e.Message
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// retryAfter is when a visitor whom an outage or a queue has turned away is asked to come back.
const retryAfter = 2 * time.Second

// statusGone is what the access log shows for a request whose visitor did not wait for the answer.
const statusGone = 499

// RequestID is the name of a request, which a page shows and the log knows.
func RequestID(c *gin.Context) string { return requestid.From(c.Request.Context()) }

// Fail is where every error of a browser's request ends: as a page for the visitor and, once, as a line in the log.
func (p *Pages) Fail(c *gin.Context, err error) {
	if errors.Is(err, context.Canceled) && c.Request.Context().Err() != nil {
		c.AbortWithStatus(statusGone)
		return
	}
	p.Error(c, asError(err))
}

// asError says what an error means to a visitor. What is not known to be harmless is a fault of ours and says nothing.
func asError(err error) *Error {
	var (
		known    *Error
		tooLarge *http.MaxBytesError
		exceeded *throttle.Exceeded
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusServiceUnavailable, Message: "error.unavailable", Cause: err, RetryAfter: retryAfter}
	case errors.Is(err, password.ErrBusy):
		return &Error{Status: http.StatusServiceUnavailable, Message: "error.busy", Cause: err, RetryAfter: retryAfter}
	case errors.As(err, &exceeded):
		return &Error{
			Status: http.StatusTooManyRequests, Message: "error.limit", Cause: err, RetryAfter: max(exceeded.RetryAfter, time.Second),
		}
	case errors.As(err, &tooLarge):
		return &Error{Status: http.StatusRequestEntityTooLarge, Message: "error.too_large", Cause: err}
	}
	return &Error{Status: http.StatusInternalServerError, Message: "error.internal", Cause: err}
}

// Error writes an error as a page.
func (p *Pages) Error(c *gin.Context, e *Error) {
	c.Abort()
	p.logError(c, e)
	if c.Writer.Written() {
		return
	}
	if e.RetryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second))) // whole seconds, and never before there is room
	}
	page := ErrorPage{Heading: e.Title, Code: e.Code, Message: e.Message, BackTo: e.BackTo, Again: e.Again}
	if err := p.Render(c, e.Status, "error", page); err != nil {
		// The last resort: the page that every error ends as could not be shown.
		p.log.ErrorContext(c.Request.Context(), "an error page could not be rendered", "cause", err)
		c.Data(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Something went wrong. Request id: "+RequestID(c)+"\n"))
	}
}

// logError writes the one line of an error: a fault of ours loudly, a refusal quietly, a mistake only for who looks closely.
func (p *Pages) logError(c *gin.Context, e *Error) {
	level := slog.LevelDebug
	switch {
	case e.Status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case e.Status >= http.StatusInternalServerError:
		level = slog.LevelError
	case e.Status == http.StatusForbidden:
		level = slog.LevelInfo
	}
	ctx := c.Request.Context()
	if !p.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method), slog.String("route", c.FullPath()), slog.Int("status", e.Status),
		slog.String("said", e.Message), slog.String("request", RequestID(c)),
	}
	if e.Cause != nil {
		attrs = append(attrs, slog.String("cause", e.Cause.Error()))
	}
	p.log.LogAttrs(ctx, level, "a request ended in an error page", attrs...)
}
