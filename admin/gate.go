package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
)

// exchange is a request that has passed the gate, and its answer: its body has been read, and what it says of itself is settled.
type exchange struct {
	gated
	body []byte
	// kept is the answer where it is kept to be given again; else it goes straight out.
	kept *answer
}

type gated huma.Context

// Unwrap is asked by whoever wants the request itself.
func (e *exchange) Unwrap() huma.Context { return e.gated }

// BodyReader implements huma.Context.
func (e *exchange) BodyReader() io.Reader { return bytes.NewReader(e.body) }

// SetReadDeadline implements huma.Context. There is nothing left to be read.
func (*exchange) SetReadDeadline(time.Time) error { return nil }

// Header implements huma.Context. There is one form in which answers are written, and the gate has looked at that of the body.
func (e *exchange) Header(name string) string {
	switch name {
	case "Accept", "Content-Type":
		return mediaTypeJSON
	}
	return e.gated.Header(name)
}

// SetStatus implements huma.Context, and so do the three below.
func (e *exchange) SetStatus(status int) {
	if e.kept != nil {
		e.kept.Status = status
		return
	}
	e.gated.SetStatus(status)
}

func (e *exchange) SetHeader(name, value string) {
	if e.kept != nil {
		e.kept.header().Set(name, value)
		return
	}
	e.gated.SetHeader(name, value)
}

func (e *exchange) AppendHeader(name, value string) {
	if e.kept != nil {
		e.kept.header().Add(name, value)
		return
	}
	e.gated.AppendHeader(name, value)
}

func (e *exchange) BodyWriter() io.Writer {
	if e.kept != nil {
		return e.kept
	}
	return e.gated.BodyWriter()
}

// gate is what every request of an operation goes through before anything else looks at it: whom it is from, whether they may, and
// not too often; and that it says what it says in one way only.
func (a *API) gate(o *operation) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		ctx := hc.Context()
		c := humagin.Unwrap(hc)
		fail := func(err error) { a.refuse(hc, a.problemOf(ctx, err, o.names)) }

		who, err := a.authenticate(ctx, c.Request)
		if err == nil {
			err = a.limit(ctx, who)
		}
		if err == nil {
			err = unambiguous(c.Request.URL)
		}
		var in *tenant.Org
		if err == nil {
			in, err = a.authorize(ctx, who, o, hc.Param("org"))
		}
		if err != nil {
			fail(err)
			return
		}
		body, err := o.read(c.Request, hc.Operation(), a.huma.OpenAPI().Components.Schemas)
		if err != nil {
			fail(err)
			return
		}
		ctx = context.WithValue(tenant.With(ctx, in), callerKey{}, who)
		ctx = context.WithValue(ctx, addressKey{}, c.Request.URL)
		about := in
		if !o.inOrganization() {
			about = nil
		}
		ctx = manage.WithActor(ctx, manage.Actor{
			Name: who.name(about), IPAddress: c.ClientIP(), RequestID: requestid.From(ctx), Bound: who.bound(in), Client: who.clientID, ClientOf: who.org.ID,
		})
		pass := &exchange{gated: huma.WithContext(hc, ctx), body: body}
		if key := c.Request.Header.Values(keyHeader); o.method == http.MethodPost && len(key) > 0 {
			if err := a.once(pass, who, key, next); err != nil {
				fail(err)
			}
			return
		}
		next(pass)
	}
}

// refuse answers a request with a problem before its operation has seen it.
func (a *API) refuse(hc huma.Context, p *Problem) {
	c := humagin.Unwrap(hc)
	p.Write(c.Writer, c.Request)
}

type addressKey struct{}

// addressOf is the address that a request was sent to.
func addressOf(ctx context.Context) *url.URL {
	address, _ := ctx.Value(addressKey{}).(*url.URL)
	return address
}

// unambiguous refuses an address whose parameters can be read in several ways.
func unambiguous(address *url.URL) error {
	if !isText(address.Path) {
		return missing()
	}
	query, err := url.ParseQuery(address.RawQuery)
	if err != nil {
		return problem(http.StatusBadRequest, typeInvalid, "The parameters of the address are not properly encoded.")
	}
	var twice []Offence
	for name, values := range query {
		if len(values) > 1 {
			twice = append(twice, Offence{Parameter: name, Detail: "It is there more than once."})
		}
		if values[0] == "" {
			twice = append(twice, Offence{Parameter: name, Detail: "It is empty."})
		}
		if !isText(values[0]) || !isText(name) {
			twice = append(twice, Offence{Parameter: name, Detail: "It is not text in UTF-8."})
		}
	}
	if len(twice) > 0 {
		slices.SortFunc(twice, func(a, b Offence) int { return strings.Compare(a.Parameter, b.Parameter) })
		return problem(http.StatusBadRequest, typeInvalid, "What is wrong stands in errors.", twice...)
	}
	return nil
}

// read reads what a request brings, within its bounds and in a form that the operation takes. JSON is looked at here, for what no
// schema says: that there is one way of Reading it, and no null where there must be something.
func (o *operation) read(r *http.Request, op *huma.Operation, schemas huma.Registry) ([]byte, error) {
	if r.Body == nil || o.method == http.MethodGet {
		return nil, nil
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, problem(http.StatusUnsupportedMediaType, typeBlank, "The body must not be compressed.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	var tooLarge *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &tooLarge), len(body) > MaxBody:
		return nil, problem(http.StatusRequestEntityTooLarge, typeBlank, "The body is too large.")
	case errors.As(err, &slow) && slow.Timeout():
		return nil, problem(http.StatusRequestTimeout, typeBlank, "The body came too slowly.")
	case err != nil:
		return nil, problem(http.StatusBadRequest, typeInvalid, "The body could not be read.")
	case !o.takesBody() && len(bytes.TrimSpace(body)) > 0 && string(bytes.TrimSpace(body)) != "{}":
		return nil, problem(http.StatusBadRequest, typeInvalid, "The operation takes no body.")
	case !o.takesBody(), len(body) == 0:
		return nil, nil
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, ok := params["charset"]; err != nil || !slices.Contains(o.body, kind) || ok && !strings.EqualFold(charset, "utf-8") {
		header := "Accept"
		if o.method == http.MethodPatch {
			header = "Accept-Patch" // RFC 5789 §3.1
		}
		return nil, problem(http.StatusUnsupportedMediaType, typeBlank, "The Content-Type must be "+strings.Join(o.body, " or ")+".").
			with(header, strings.Join(o.body, ", "))
	}
	if kind != mediaTypeJSON && kind != mediaTypeMerge {
		return body, nil
	}
	if _, err := strictjson.Object(body); err != nil {
		return nil, unreadable(err)
	}
	media := op.RequestBody.Content[kind]
	if media == nil || media.Schema == nil {
		return body, nil
	}
	p := problem(http.StatusBadRequest, typeInvalid, "What is wrong stands in errors.")
	var value any
	whole := json.NewDecoder(bytes.NewReader(body))
	whole.UseNumber() // whatever its size
	if err := whole.Decode(&value); err != nil {
		return nil, unreadable(strictjson.ErrSyntax)
	}
	p.Errors = nulls(media.Schema, schemas, value, "")
	if len(p.Errors) > 0 {
		slices.SortFunc(p.Errors, func(a, b Offence) int { return strings.Compare(a.Pointer, b.Pointer) })
		return nil, p
	}
	return body, nil
}

// nulls are the members that are null where there must be something. huma takes a null for what is absent.
func nulls(schema *huma.Schema, schemas huma.Registry, value any, pointer string) (found []Offence) {
	for schema != nil && schema.Ref != "" {
		schema = schemas.SchemaFromRef(schema.Ref)
	}
	if schema == nil {
		return nil
	}
	switch v := value.(type) {
	case nil:
		if schema.Type != "" && !schema.Nullable {
			found = append(found, Offence{Pointer: pointer, Detail: "It must not be null."})
		}
	case []any:
		for i, item := range v {
			found = append(found, nulls(schema.Items, schemas, item, pointer+"/"+strconv.Itoa(i))...)
		}
	case map[string]any:
		below, _ := schema.AdditionalProperties.(*huma.Schema)
		for name, member := range v {
			of, ok := schema.Properties[name]
			if !ok {
				of = below
			}
			found = append(found, nulls(of, schemas, member, pointer+"/"+escape(name))...)
		}
	}
	return found
}
