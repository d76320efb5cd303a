package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// Problem is how everything that is not done is told (RFC 9457). It says what is wrong with which member, and never what stood
// there: that may be a password.
type Problem struct {
	Type      string    `json:"type" doc:"What kind of problem it is: about:blank where the status says it all, else a name." example:"about:blank"`
	Title     string    `json:"title" doc:"The kind of problem, in words."`
	Status    int       `json:"status" doc:"The status of the answer."`
	Detail    string    `json:"detail,omitempty" doc:"What the matter is, this time."`
	RequestID string    `json:"request_id,omitempty" doc:"The name of the request, by which the log and the audit know it."`
	Errors    []Offence `json:"errors,omitempty" doc:"What is wrong with which part of the request."`

	header http.Header
}

// Offence is what is wrong with one part of a request.
type Offence struct {
	Pointer   string `json:"pointer,omitempty" doc:"A member of the body, as a JSON Pointer (RFC 6901)." example:"/email"`
	Parameter string `json:"parameter,omitempty" doc:"A parameter of the address."`
	Header    string `json:"header,omitempty" doc:"A header."`
	Detail    string `json:"detail" doc:"What is wrong with it."`
}

// The kinds of problems that have a name of their own: a program may want to tell them from others of the same status.
const (
	typeBlank         = "about:blank"
	typeStale         = "urn:keizer:problem:stale"
	typeKeyInUse      = "urn:keizer:problem:idempotency-key-in-use"
	typeKeyReused     = "urn:keizer:problem:idempotency-key-reused"
	typeAnswerLost    = "urn:keizer:problem:answer-lost"
	typeInvalid       = "urn:keizer:problem:invalid"
	typeTaken         = "urn:keizer:problem:conflict"
	typeScope         = "urn:keizer:problem:insufficient-scope"
	typeBeyondRights  = "urn:keizer:problem:beyond-your-rights"
	typeNotProven     = "urn:keizer:problem:not-proven"
	mediaTypeProblem  = "application/problem+json"
	mediaTypeJSON     = "application/json"
	mediaTypeMerge    = "application/merge-patch+json"
	outageRetrySecond = "2"
)

var titles = map[string]string{
	typeStale: "It was changed meanwhile", typeKeyInUse: "The request is being carried out", typeKeyReused: "The key belongs to another request",
	typeAnswerLost: "The answer is lost", typeInvalid: "Something is wrong with the request", typeTaken: "Something stands in its way",
	typeScope: "The access token may not do this", typeBeyondRights: "You may not give what you do not hold",
	typeNotProven: "It is not proven",
}

func problem(status int, kind, detail string, offences ...Offence) *Problem {
	title := cmp.Or(titles[kind], http.StatusText(status))
	return &Problem{Type: kind, Title: title, Status: status, Detail: detail, Errors: offences, header: http.Header{}}
}

func (p *Problem) with(name, value string) *Problem {
	p.header.Set(name, value)
	return p
}

// Error implements error.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (*Problem) ContentType(string) string { return mediaTypeProblem }

// Write answers a request with a problem outside of any operation.
func (p *Problem) Write(w http.ResponseWriter, r *http.Request) {
	p.RequestID = requestid.From(r.Context())
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", mediaTypeProblem)
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // whoever asked has gone
	}
}

// Refusal is the problem of a request that no operation was found for, or that was too much for anybody.
func Refusal(status int, detail string) *Problem { return problem(status, typeBlank, detail) }

// settle makes huma tell everything in our words. What it does so is the process's, as its authors have it; nobody else uses it.
var settle = sync.OnceFunc(func() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return foreign(status, message, errs...)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		p := foreign(status, message, errs...)
		p.RequestID = requestid.From(ctx.Context())
		return p
	}
	huma.ValidateStrictCasing = true // as a JSON name is matched exactly
	huma.DefaultArrayNullable = false
})

// foreign is a problem that huma found with a request: of its details the place and the words are kept, and never the value.
func foreign(status int, message string, errs ...error) *Problem {
	switch status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
	case http.StatusInternalServerError:
		return problem(status, typeBlank, "Something went wrong.")
	default:
		return problem(status, typeBlank, sentence(message))
	}
	p := problem(http.StatusBadRequest, typeInvalid, "What is wrong stands in errors.")
	for _, err := range errs {
		var detail *huma.ErrorDetail
		if !errors.As(err, &detail) {
			continue
		}
		p.Errors = append(p.Errors, offenceOf(detail))
	}
	if len(p.Errors) == 0 {
		p.Detail = sentence(message)
	}
	slices.SortFunc(p.Errors, func(a, b Offence) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Parameter, b.Parameter), strings.Compare(a.Detail, b.Detail))
	})
	return p
}

var required = regexp.MustCompile(`^expected required property (.+) to be present$`)

func offenceOf(detail *huma.ErrorDetail) Offence {
	place, rest, _ := strings.Cut(detail.Location, ".")
	// What follows a colon is a library's word about the value, in which it may stand.
	message, _, _ := strings.Cut(detail.Message, ": ")
	switch place {
	case "query", "path":
		return Offence{Parameter: rest, Detail: sentence(message)}
	case "header":
		return Offence{Header: rest, Detail: sentence(message)}
	}
	pointer := pointerOf(strings.TrimPrefix(strings.TrimPrefix(detail.Location, "body"), "."))
	switch found := required.FindStringSubmatch(message); {
	case found != nil:
		return Offence{Pointer: pointer + "/" + escape(found[1]), Detail: "It is needed."}
	case message == "unexpected property":
		return Offence{Pointer: pointer, Detail: "It is not known, or not to be set."}
	}
	return Offence{Pointer: pointer, Detail: sentence(strings.ReplaceAll(message, "<nil>", "null"))}
}

var index = regexp.MustCompile(`\[(\d+)\]`)

// pointerOf turns a path as the libraries below write it ("a.b[0]") into a JSON Pointer.
func pointerOf(path string) string {
	if path == "" {
		return ""
	}
	path = index.ReplaceAllString(path, ".$1")
	var b strings.Builder
	for part := range strings.SplitSeq(path, ".") {
		b.WriteString("/" + escape(part))
	}
	return b.String()
}

// escape is RFC 6901 §3.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// plain is what a deed complains of, without what was given: deeds quote that, for whoever sits before a terminal of their own.
func plain(text string) string {
	return sentence(quoted.ReplaceAllLiteralString(text, "what was given"))
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// fields says which member of a body a field is that a deed complains of, where they are not called the same. What ends with a dot is
// how a field begins whose rest is one name, whatever stands in it.
type fields map[string]string

// problemOf tells what came of a deed. It is the one place where an error becomes an answer; a fault of ours is logged here, once.
func (a *API) problemOf(ctx context.Context, err error, names fields) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		p = a.tell(ctx, err, names)
	}
	p.RequestID = requestid.From(ctx)
	return p
}

func (a *API) tell(ctx context.Context, err error, names fields) *Problem {
	var conflict *manage.Conflict
	var forbidden *manage.Forbidden
	var limit *throttle.Exceeded
	complaints := manage.Complaints(err)
	switch {
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, password.ErrBusy):
		a.log.WarnContext(ctx, "the management API cannot answer", "cause", err)
		return outage()
	case errors.As(err, &limit):
		return problem(http.StatusTooManyRequests, typeBlank, "Too many requests. Wait, and try again.").
			with("Retry-After", seconds(limit.RetryAfter))
	case errors.Is(err, context.Canceled):
		return problem(http.StatusServiceUnavailable, typeBlank, "The request was given up.").with("Retry-After", outageRetrySecond)
	case len(complaints) > 0:
		p := problem(http.StatusBadRequest, typeInvalid, "What is wrong stands in errors.")
		for _, complaint := range complaints {
			p.Errors = append(p.Errors, Offence{Pointer: names.pointer(complaint.Field), Detail: plain(complaint.Message)})
		}
		return p
	case errors.As(err, &forbidden):
		p := insufficient(forbidden.Permission)
		p.Type, p.Title, p.Detail = typeBeyondRights, titles[typeBeyondRights], sentence(forbidden.Error())
		if part := (*manage.Placed)(nil); errors.As(err, &part) {
			p.Errors = []Offence{{Pointer: names.pointer(part.Pointer), Detail: p.Detail}}
		}
		return p
	case errors.As(err, &conflict):
		p := problem(http.StatusConflict, typeTaken, plain(conflict.Message))
		if pointer := names.pointer(conflict.Field); pointer != "" {
			p.Errors = []Offence{{Pointer: pointer, Detail: p.Detail}}
		}
		return p
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, keys.ErrUnknownKey):
		return missing()
	case errors.Is(err, storage.ErrConflict):
		return problem(http.StatusConflict, typeTaken, "Others change it at the same time. Try again.")
	case errors.Is(err, storage.ErrListing):
		return problem(http.StatusBadRequest, typeInvalid, "", Offence{Parameter: "cursor", Detail: "It is not one that this list has given."})
	case errors.Is(err, storage.ErrSpent):
		return problem(http.StatusConflict, typeTaken, "It was done meanwhile.")
	}
	a.log.ErrorContext(ctx, "the management API failed", "cause", err)
	return problem(http.StatusInternalServerError, typeBlank, "Something went wrong.")
}

// placed is where in the body that stands into which the pointers lead that a deed complains with.
const placed = "/"

// pointer is where a field stands in the body.
func (f fields) pointer(field string) string {
	if within, ok := f[placed]; ok && (field == "" || field[0] == '/') {
		return within + field
	}
	if at, ok := f[field]; ok {
		return at
	}
	for begin, at := range f {
		if name, ok := strings.CutPrefix(field, begin); ok && strings.HasSuffix(begin, ".") {
			return at + escape(name)
		}
	}
	return pointerOf(field)
}

func outage() *Problem {
	return problem(http.StatusServiceUnavailable, typeBlank, "The server cannot answer right now. Try again in a moment.").
		with("Retry-After", outageRetrySecond)
}

// missing is the answer for what is not there, and for what is somebody else's.
func missing() *Problem {
	return problem(http.StatusNotFound, typeBlank, "There is nothing here for you.")
}

func seconds(wait time.Duration) string { return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))) }

// unreadable is what is wrong with a body that is no JSON, or not in one way only.
func unreadable(err error) *Problem {
	var twice *strictjson.DuplicateError
	if errors.As(err, &twice) {
		return problem(http.StatusBadRequest, typeInvalid, "", Offence{Pointer: twice.Pointer, Detail: "It is there twice, or once in another case."})
	}
	return problem(http.StatusBadRequest, typeInvalid, sentence("The body is "+err.Error()))
}
