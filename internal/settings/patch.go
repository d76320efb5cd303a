package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/keizer-auth/keizer/internal/mergepatch"
	"github.com/keizer-auth/keizer/internal/nearest"
	"github.com/keizer-auth/keizer/internal/strictjson"
)

// Patch is a JSON merge patch of settings (RFC 7396): a member that is null goes back to its default.
type Patch map[string]any

// ParsePatch reads a patch. Every member must be known.
func ParsePatch(text []byte) (Patch, error) {
	members, err := strictjson.Object(text)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return Patch{}, nil
	}
	var patch Patch
	if err := json.Unmarshal(text, &patch); err != nil {
		return nil, strictjson.ErrSyntax
	}
	return patch, nil
}

// Set adds to the patch that the member at path ("sign_up.mode") becomes what text says: a word, true or false, a duration, a number, words
// with commas between them, or, where there are objects, a JSON array.
func (p Patch) Set(path, text string) error {
	kind, ok := members()[path]
	if !ok {
		return unknown(path)
	}
	var value any = text
	switch kind {
	case truth:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return &Complaint{path, "it must be true or false"}
		}
		value = b
	case list:
		words := []any{}
		for word := range strings.SplitSeq(text, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
		value = words
	case duration:
		if err := new(Duration).UnmarshalText([]byte(text)); err != nil {
			return &Complaint{path, notDuration}
		}
	case number:
		n, err := strconv.Atoi(text)
		if err != nil {
			return &Complaint{path, kind.wanted()}
		}
		value = float64(n) // as it comes from JSON
	case objects:
		if strictjson.Check([]byte(text)) != nil || json.Unmarshal([]byte(text), &value) != nil || !kind.takes(value) {
			return &Complaint{path, kind.wanted()}
		}
	}
	p.put(path, value)
	return nil
}

// Unset adds to the patch that the member at path, or all members below it, go back to their defaults.
func (p Patch) Unset(path string) error {
	known := members()
	_, ok := known[path]
	for name := range known {
		ok = ok || strings.HasPrefix(name, path+".")
	}
	if !ok {
		return unknown(path)
	}
	p.put(path, nil)
	return nil
}

func (p Patch) put(path string, value any) {
	object := map[string]any(p)
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		below, ok := object[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			object[name] = below
		}
		object = below
	}
	object[names[len(names)-1]] = value
}

// Apply returns what the column settings holds after the patch, in canonical form, and the settings that it then means. It says
// everything that is wrong at once. What stands in the column and is not known here is kept: it is a newer replica's.
func (p Patch) Apply(stored map[string]any) (map[string]any, *Settings, error) {
	var c complaints
	known := members()
	p.check(&c, known, p, "")
	if err := c.err(); err != nil {
		return nil, nil, err
	}
	start, err := clone(stored)
	if err != nil {
		return nil, nil, err
	}
	if signUp, ok := p["sign_up"].(map[string]any); ok && signUp["fields"] != nil {
		start = withFields(start) // a change of one field leaves the others as they are
	}
	merged := mergepatch.Apply(start, p)
	s, err := read(merged)
	if err != nil {
		return nil, nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	canonical, err := s.Map()
	if err != nil {
		return nil, nil, err
	}
	settle(merged, canonical)
	return merged, s, nil
}

const notDuration = "it must be a duration, such as 30m or 12h"

// check complains of members that are not known, and of values of another type.
func (p Patch) check(c *complaints, known map[string]kind, object map[string]any, prefix string) {
	for name, value := range object {
		path := prefix + name
		kind, leaf := known[path]
		below, isObject := value.(map[string]any)
		group := slices.ContainsFunc(paths(known), func(k string) bool { return strings.HasPrefix(k, path+".") })
		switch {
		case !leaf && !group:
			*c = append(*c, unknown(path))
		case value == nil:
		case group && isObject:
			p.check(c, known, below, path+".")
		case group:
			c.add(path, "it must be an object")
		case !kind.takes(value):
			c.add(path, "%s", kind.wanted())
		}
	}
}

func clone(stored map[string]any) (map[string]any, error) {
	copied := make(map[string]any, len(stored))
	text, err := json.Marshal(stored)
	if err == nil && len(stored) > 0 {
		err = json.Unmarshal(text, &copied)
	}
	if err != nil {
		return nil, fmt.Errorf("copy settings: %w", err)
	}
	return copied, nil
}

// withFields returns stored with the fields of sign-up written out, where they are the default's.
func withFields(stored map[string]any) map[string]any {
	signUp, _ := stored["sign_up"].(map[string]any)
	if signUp["fields"] != nil {
		return stored
	}
	fields := make(map[string]any)
	for name, value := range Default().SignUp.Fields {
		fields[name] = value
	}
	return mergepatch.Apply(stored, map[string]any{"sign_up": map[string]any{"fields": fields}})
}

// settle writes values in their canonical form over those that stand there.
func settle(stored, canonical map[string]any) {
	for name, value := range stored {
		settled, ok := canonical[name]
		below, isObject := value.(map[string]any)
		switch settledBelow, _ := settled.(map[string]any); {
		case !ok:
		case isObject && settledBelow != nil:
			settle(below, settledBelow)
		default:
			stored[name] = settled
		}
	}
}

// A kind is the type of a member.
type kind int

const (
	word kind = iota
	truth
	list
	duration
	number
	objects
)

func (k kind) takes(value any) bool {
	switch k {
	case truth:
		_, ok := value.(bool)
		return ok
	case list:
		items, ok := value.([]any)
		return ok && !slices.ContainsFunc(items, func(item any) bool { _, ok := item.(string); return !ok })
	case number:
		n, ok := value.(float64)
		return ok && n == math.Trunc(n) && math.Abs(n) < 1<<31
	case objects:
		text, err := json.Marshal(value)
		return err == nil && value != nil && strictjson.Unmarshal(text, new([]StatementIssuer)) == nil
	}
	text, ok := value.(string)
	if k == duration && ok {
		return new(Duration).UnmarshalText([]byte(text)) == nil
	}
	return ok
}

func (k kind) wanted() string {
	return [...]string{"it must be a text", "it must be true or false", "it must be an array of texts", notDuration,
		"it must be a whole number", "it must be a JSON array of objects with issuer, jwks or jwks_uri, and algorithms"}[k]
}

// members are the paths of everything that can be set.
func members() map[string]kind {
	found := make(map[string]kind)
	membersOf(reflect.TypeFor[Settings](), "", found)
	return found
}

func membersOf(t reflect.Type, prefix string, found map[string]kind) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		path := prefix + name
		switch {
		case field.Type == reflect.TypeFor[Duration](), field.Type == reflect.TypeFor[*Duration]():
			found[path] = duration
		case field.Type.Kind() == reflect.Struct:
			membersOf(field.Type, path+".", found)
		case field.Type.Kind() == reflect.Bool:
			found[path] = truth
		case field.Type.Kind() == reflect.Int:
			found[path] = number
		case field.Type == reflect.TypeFor[[]StatementIssuer]():
			found[path] = objects
		case field.Type.Kind() == reflect.Slice:
			found[path] = list
		case field.Type.Kind() == reflect.Map: // the fields of sign-up
			for _, name := range []string{"name", "username"} {
				found[path+"."+name] = word
			}
		default:
			found[path] = word
		}
	}
}

func paths(known map[string]kind) []string {
	all := make([]string, 0, len(known))
	for path := range known {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

func unknown(path string) error {
	near := nearest.Name(path, slices.Values(paths(members())))
	if near != "" {
		return &Complaint{path, "there is no such setting; did you mean " + near + "?"}
	}
	return &Complaint{path, "there is no such setting"}
}

// Changes are the members in which two settings differ, by path, with what they were and are, for the audit.
func Changes(before, after *Settings) (map[string]any, error) {
	from, err := before.Map()
	to, err2 := after.Map()
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("compare settings: %w", err)
	}
	changed := make(map[string]any)
	differences("", from, to, changed)
	return changed, nil
}

func differences(prefix string, from, to, changed map[string]any) {
	for _, name := range slices.Compact(slices.Sorted(keysOf(from, to))) {
		below, isObject := from[name].(map[string]any)
		above, isObjectToo := to[name].(map[string]any)
		switch {
		case isObject && isObjectToo:
			differences(prefix+name+".", below, above, changed)
		case !reflect.DeepEqual(from[name], to[name]):
			changed[prefix+name] = map[string]any{"before": from[name], "after": to[name]}
		}
	}
}

func keysOf(objects ...map[string]any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, object := range objects {
			for name := range object {
				if !yield(name) {
					return
				}
			}
		}
	}
}
