package admin

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keizer-auth/keizer/internal/permission"
)

// anyone is the permission of an operation that takes none but a good token.
const anyone = "anyone"

// operation is one thing that can be asked for.
type operation struct {
	// id names it in the document: a verb and a noun.
	id, method, path, summary, description string
	// permission is what it takes: one of package permission, or anyone.
	permission string
	// status is that of a good answer, where it is not 200, or 204 for nothing.
	status int
	// body is the media types that it reads; JSON, or a merge patch for PATCH, unless it is said otherwise.
	body []string
	// schema is that of a body which the operation reads by itself.
	schema *huma.Schema
	// plain are the answers that it cannot give, of those that every operation can.
	never []int
	// names says which member a field of the deed is, where they are called otherwise.
	names fields
}

// tags are the headings of the document: the resources.
func (o *operation) tag() string {
	parts := strings.Split(strings.Trim(o.path, "/"), "/")
	if len(parts) > 2 && parts[0] == "organizations" {
		return parts[2]
	}
	return parts[0]
}

// inOrganization reports whether it is about an organization, which the address names.
func (o *operation) inOrganization() bool { return strings.HasPrefix(o.path, orgPath) }

// takesBody reports whether a request brings something.
func (o *operation) takesBody() bool { return len(o.body) > 0 }

// answers are the statuses that an operation can refuse with. They stand in the document, and a test holds the API to it.
func (o *operation) answers(input reflect.Type) []int {
	all := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestURITooLong, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if strings.Contains(o.path, "{") {
		all = append(all, http.StatusNotFound)
	}
	if o.method != http.MethodGet {
		all = append(all, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge)
	}
	if o.takesBody() {
		all = append(all, http.StatusUnsupportedMediaType)
	}
	if _, ok := input.FieldByName("IfMatch"); ok {
		all = append(all, http.StatusPreconditionFailed)
	}
	if o.method == http.MethodPost {
		all = append(all, http.StatusUnprocessableEntity)
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(status int) bool { return slices.Contains(o.never, status) })
}

// register mounts an operation. What the input and output look like, and what of it huma checks, is in their types.
func register[I, O any](a *API, o operation, handler func(ctx context.Context, in *I) (*O, error)) {
	input := reflect.TypeFor[I]()
	_, hasBody := input.FieldByName("Body")
	_, hasRaw := input.FieldByName("RawBody")
	if (hasBody || hasRaw) && len(o.body) == 0 {
		o.body = []string{mediaTypeJSON}
		if o.method == http.MethodPatch {
			o.body = []string{mediaTypeMerge}
		}
	}
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.description, Tags: []string{o.tag()},
		DefaultStatus: o.status, Errors: o.answers(input), Responses: map[string]*huma.Response{},
		Security:    []map[string][]string{{scheme: {}}},
		Middlewares: huma.Middlewares{a.gate(&o)},
	}
	if o.permission != anyone && !permission.Known(o.permission) {
		panic(o.id + " does not say which permission it takes")
	}
	if o.permission != anyone {
		op.Security[0][scheme] = []string{o.permission}
	}
	if o.schema != nil {
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{}}
		for _, kind := range o.body {
			op.RequestBody.Content[kind] = &huma.MediaType{Schema: o.schema}
		}
	}
	if hasRaw {
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{}}
		for _, kind := range o.body {
			op.RequestBody.Content[kind] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		}
	}
	if _, ok := input.FieldByName("IfNoneMatch"); ok {
		op.Responses["304"] = &huma.Response{Description: "It is as you know it."}
	}
	if o.method == http.MethodPost {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: keyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey), Pattern: "^[!-~]+$"},
			Description: "A word of the caller's choice. A request that comes again under it is answered as it was the first time, for a day, " +
				"and not carried out again.",
		})
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, a.problemOf(ctx, err, o.names)
		}
		return out, nil
	})
	// huma adds what it answers by itself, which is told otherwise here.
	if !slices.Contains(op.Errors, http.StatusUnprocessableEntity) {
		delete(op.Responses, strconv.Itoa(http.StatusUnprocessableEntity))
	}
	o.describeHeaders(op.Responses)
}

// describeHeaders says which headers answers have that no type of theirs tells of.
func (o *operation) describeHeaders(answers map[string]*huma.Response) {
	describe := func(status int, name, description string) {
		answer := answers[strconv.Itoa(status)]
		if answer == nil {
			return
		}
		if answer.Headers == nil {
			answer.Headers = map[string]*huma.Header{}
		}
		answer.Headers[name] = &huma.Header{Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden} {
		describe(status, "WWW-Authenticate", "What the token lacks (RFC 6750 §3), where that is the matter.")
	}
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		describe(status, "Retry-After", "In how many seconds it may be tried again.")
	}
	describe(http.StatusNotModified, "ETag", "")
	switch o.method {
	case http.MethodPost:
		describe(http.StatusConflict, "Retry-After", "In how many seconds it may be tried again, where it is being carried out.")
		describe(http.StatusUnsupportedMediaType, "Accept", "The types of body that it takes.")
		describe(cmp.Or(o.status, http.StatusOK), "Idempotency-Replayed", "That it is true says that this is the answer of before, and nothing was carried out.")
	case http.MethodPatch:
		describe(http.StatusUnsupportedMediaType, "Accept-Patch", "The types of body that it takes (RFC 5789 §3.1).")
	default:
		describe(http.StatusUnsupportedMediaType, "Accept", "The types of body that it takes.")
	}
}
