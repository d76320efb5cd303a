package strictjson

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may be nested. Nothing that Keizer reads comes near it.
const maxDepth = 32

// What can be wrong with a document. No error repeats what the document holds: it may be a secret.
var (
	ErrSyntax    = errors.New("not well-formed JSON in UTF-8")
	ErrDuplicate = errors.New("two members of one object have the same name, or names that differ in case only")
	ErrDepth     = errors.New("nested too deeply")
	ErrObject    = errors.New("not a JSON object")
	ErrUnknown   = errors.New("a member is not known")
	ErrType      = errors.New("a value is not of the type that is expected")
)

// Check reports whether data is one well-formed value without ambiguous members.
func Check(data []byte) error {
	if !utf8.Valid(data) || !json.Valid(data) {
		return ErrSyntax
	}
	s := scanner{data: data}
	return s.value(0)
}

// DuplicateError is an ErrDuplicate that says which member it was, as a JSON Pointer (RFC 6901). A name is no secret, but it is a
// stranger's text.
type DuplicateError struct{ Pointer string }

func (e *DuplicateError) Error() string { return ErrDuplicate.Error() }

// Is makes errors.Is(err, ErrDuplicate) true.
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicate }

// Object returns the members of the object that data is. Unlike those of a struct their names are matched exactly.
func Object(data []byte) (map[string]json.RawMessage, error) {
	if err := Check(data); err != nil {
		return nil, err
	}
	if first(data) != '{' {
		return nil, ErrObject
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, ErrSyntax
	}
	return members, nil
}

// Unmarshal is json.Unmarshal for a document whose every member must be known to v, under exactly the name that v gives it.
// A document that is null is refused: it would leave v as it was.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	if first(data) == 'n' {
		return ErrObject
	}
	if err := exact(data, reflect.TypeOf(v)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return fmt.Errorf("%w: %s", ErrType, wrong.Field)
		}
		return ErrType
	}
	return nil
}

// first is the first character of a well-formed value.
func first(data []byte) byte {
	for _, c := range data {
		if !space(c) {
			return c
		}
	}
	return 0
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// scanner walks through a text that json.Valid has passed, so it looks for nothing but structure.
type scanner struct {
	data []byte
	at   int
	// path is where the value is that is being read: names of members and numbers of elements.
	path []string
}

// pointer is the path as RFC 6901 §3 writes it.
func (s *scanner) pointer() string {
	var b strings.Builder
	for _, name := range s.path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}

func (s *scanner) space() {
	for s.at < len(s.data) && space(s.data[s.at]) {
		s.at++
	}
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	s.space()
	switch s.data[s.at] {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		s.text()
	default:
		for s.at < len(s.data) && !strings.ContainsRune(",]} \t\r\n", rune(s.data[s.at])) {
			s.at++
		}
	}
	return nil
}

func (s *scanner) object(depth int) error {
	s.at++ // {
	seen := make(map[string]struct{}, 8)
	for {
		s.space()
		if s.data[s.at] == '}' {
			s.at++
			return nil
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		s.path = append(s.path, name)
		folded := fold(name)
		if _, twice := seen[folded]; twice {
			return &DuplicateError{s.pointer()}
		}
		seen[folded] = struct{}{}
		s.space()
		s.at++ // :
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		s.space()
		if s.data[s.at] == ',' {
			s.at++
		}
	}
}

func (s *scanner) array(depth int) error {
	s.at++ // [
	for i := 0; ; i++ {
		s.space()
		if s.data[s.at] == ']' {
			s.at++
			return nil
		}
		s.path = append(s.path, strconv.Itoa(i))
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		s.space()
		if s.data[s.at] == ',' {
			s.at++
		}
	}
}

// text moves past a string and returns it, quotes included.
func (s *scanner) text() []byte {
	from := s.at
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.data[from:s.at]
}

// name reads a member's name as encoding/json will, escapes undone: "\u0061ud" is "aud".
func (s *scanner) name() (string, error) {
	quoted := s.text()
	plain := true
	for _, c := range quoted {
		plain = plain && c != '\\'
	}
	if plain {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return "", ErrSyntax
	}
	return name, nil
}

// fold maps names to one form when encoding/json takes them for the same field: by Unicode's simple folding, under which
// the Kelvin sign is a K and the long s an S.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			if 'a' <= r && r <= 'z' {
				r -= 'a' - 'A'
			}
			return r
		}
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}

// exact refuses members that t does not know under exactly their name. data is well-formed.
func exact(data []byte, t reflect.Type) error {
	for t.Kind() == reflect.Pointer && !readsItself(t) {
		t = t.Elem()
	}
	if readsItself(t) || readsItself(reflect.PointerTo(t)) {
		return nil
	}
	opening := first(data)
	switch {
	case t.Kind() == reflect.Struct && opening == '{':
		known := make(map[string]reflect.Type)
		fieldsOf(t, known)
		return eachMember(data, func(name string) (reflect.Type, bool) { field, ok := known[name]; return field, ok })
	case t.Kind() == reflect.Map && opening == '{':
		return eachMember(data, func(string) (reflect.Type, bool) { return t.Elem(), true })
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && opening == '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(data, &elements); err != nil {
			return ErrSyntax
		}
		for _, element := range elements {
			if err := exact(element, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil // json.Unmarshal judges whether the type fits
}

func eachMember(data []byte, typeOf func(name string) (reflect.Type, bool)) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return ErrSyntax
	}
	for name, value := range members {
		t, known := typeOf(name)
		if !known {
			return &UnknownError{Name: name}
		}
		if err := exact(value, t); err != nil {
			return err
		}
	}
	return nil
}

// UnknownError is an ErrUnknown that says which member it was. A name is no secret, but it is a stranger's text.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string { return fmt.Sprintf("the member %q is not known", e.Name) }

// Is makes errors.Is(err, ErrUnknown) true.
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }

func readsItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Unmarshaler]()) || t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// fieldsOf collects the names under which encoding/json fills the fields of a struct, those of embedded structs included.
func fieldsOf(t reflect.Type, known map[string]reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		if field.Anonymous && name == "" {
			embedded := field.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if embedded.Kind() == reflect.Struct {
				fieldsOf(embedded, known)
				continue
			}
		}
		if !field.IsExported() || tag == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		known[name] = field.Type
	}
}
