package admin

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

// given is a member of a merge patch (RFC 7396 §2) that may be absent and is never null.
type given[T any] struct {
	Is    bool
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (g *given[T]) UnmarshalJSON(text []byte) error {
	g.Is = true
	return json.Unmarshal(text, &g.Value)
}

// Schema implements huma.SchemaProvider.
func (given[T]) Schema(r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }

func (g given[T]) pointer() *T {
	if !g.Is {
		return nil
	}
	return &g.Value
}

// removable is a member of a merge patch that null takes away. Its value is the zero value then.
type removable[T any] struct{ given[T] }

// Schema implements huma.SchemaProvider.
func (removable[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return &s
}

// nameOf is what the document calls a type. Generic ones are called by what they are of.
func nameOf(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if name == "" {
		name = hint
	}
	if before, of, ok := strings.Cut(strings.TrimSuffix(name, "]"), "["); ok {
		of = of[strings.LastIndexAny(of, "./")+1:]
		name = of + before // Page[User] is a UserPage
	}
	if strings.HasSuffix(t.PkgPath(), "/internal/settings") && name != "Settings" {
		name = "Settings" + name
	}
	if strings.HasSuffix(t.PkgPath(), "/login/upstream") {
		name = "Provider" + name
	}
	if name == "" { // of a type that the document does not name
		return ""
	}
	runes := []rune(name)
	runes[0] = unicode.ToUpper(runes[0])
	return string(runes)
}

// utc is a time as it is written.
func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	u := at.UTC()
	return &u
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
