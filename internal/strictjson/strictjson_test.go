package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestADocumentThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	cases := []struct {
		name, text string
		want       error
	}{
		{"the same name twice", `{"aud":"x","aud":"y"}`, ErrDuplicate},
		{"names that differ in case", `{"aud":"x","AUD":"y"}`, ErrDuplicate},
		{"a name behind an escape", `{"aud":"x","\u0061ud":"y"}`, ErrDuplicate},
		{"the Kelvin sign for a K", `{"kid":1,"` + "\u212a" + `id":2}`, ErrDuplicate},
		{"the long s for an s", `{"sub":1,"` + "\u017f" + `ub":2}`, ErrDuplicate},
		{"half a surrogate pair, twice", `{"\ud800":1,"\udc00":2}`, ErrDuplicate},
		{"deep inside", `{"a":[{"b":{"c":1,"C":2}}]}`, ErrDuplicate},
		{"empty names", `{"":1,"":2}`, ErrDuplicate},
		{"two documents", `{} {}`, ErrSyntax},
		{"a comma too many", `{"a":1,}`, ErrSyntax},
		{"nothing", ``, ErrSyntax},
		{"not UTF-8", "{\"a\":\"\xff\"}", ErrSyntax},
		{"a byte order mark", "\ufeff{}", ErrSyntax},
		{"nested without end", strings.Repeat(`[`, 9999) + strings.Repeat(`]`, 9999), ErrDepth},
		{"nested beyond what is read", strings.Repeat(`{"a":`, 20000) + `1` + strings.Repeat(`}`, 20000), ErrSyntax},
	}
	for _, c := range cases {
		if err := Check([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, text := range []string{
		`{}`, `[]`, `null`, `1`, `"a"`, ` { "a" : [ 1 , {"a":2} , "}" , "\"" , true ] , "b" : { "a" : 1e3 } } `,
		`{"a":{"a":{"a":1}}}`, `{"x":"\\","y":"\\\""}`, `[[],{},"",0]`,
	} {
		if err := Check([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOnlyAnObjectHasMembers(t *testing.T) {
	for _, text := range []string{`null`, `[]`, `"{}"`, `1`, ` true`} {
		if _, err := Object([]byte(text)); !errors.Is(err, ErrObject) {
			t.Errorf("%s: %v", text, err)
		}
	}
	members, err := Object([]byte(` {"aud":"x","exp":1}`))
	if err != nil || string(members["aud"]) != `"x"` || string(members["exp"]) != `1` {
		t.Errorf("%s, %v", members, err)
	}
}

type embedded struct {
	Inner string `json:"inner"`
}

type document struct {
	embedded
	Name   string            `json:"name"`
	At     *time.Time        `json:"at,omitempty"`
	List   []embedded        `json:"list"`
	Labels map[string]string `json:"labels"`
	Plain  int
	Hidden string `json:"-"`
	Raw    json.RawMessage
}

func TestAMemberIsKnownUnderItsExactNameOnly(t *testing.T) {
	var d document
	good := `{"name":"a","inner":"b","at":"2026-01-02T03:04:05Z","list":[{"inner":"c"}],"labels":{"any":"thing"},"Plain":3,"Raw":{"x":1}}`
	if err := Unmarshal([]byte(good), &d); err != nil {
		t.Fatal(err)
	}
	if d.Name != "a" || d.Inner != "b" || d.List[0].Inner != "c" || d.Labels["any"] != "thing" || d.Plain != 3 || d.At == nil {
		t.Errorf("%+v", d)
	}
	for _, text := range []string{
		`{"Name":"a"}`, `{"plain":3}`, `{"Hidden":"x"}`, `{"hidden":"x"}`, `{"-":"x"}`, `{"other":1}`,
		`{"list":[{"Inner":"c"}]}`, `{"list":[{"inner":"c","x":1}]}`,
	} {
		if err := Unmarshal([]byte(text), &document{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := Unmarshal([]byte(`{"at":"canary-77"}`), &document{}); !errors.Is(err, ErrType) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a time that is none: %v", err)
	}
	if err := Unmarshal([]byte(`null`), &document{}); !errors.Is(err, ErrObject) {
		t.Errorf("null: %v", err)
	}
	if err := Unmarshal([]byte(`{"name":7}`), &document{}); !errors.Is(err, ErrType) || !strings.HasSuffix(err.Error(), ": name") {
		t.Errorf("a wrong type: %v", err)
	}
}

func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{
		`{"aud":"x","AUD":"y"}`, `{"a":{"b":[1,2,{"c":null}]}}`, `{"\u0061":1,"a":2}`, `"\ud83d\ude00"`, `[1e300,1e400,-0.0,true]`, "{\"\u212a\":1,\"k\":2}", ` {"name":"x"} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) != nil {
			return
		}
		if !unambiguous(t, data) {
			t.Fatalf("accepted %q", data)
		}
		first := read(t, data)
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(again); err != nil {
			t.Fatalf("%q is accepted, its like %q is not: %v", data, again, err)
		}
		if third, err := json.Marshal(read(t, again)); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%q is not stable: %q, %q", data, again, third)
		}
		var d document
		if Unmarshal(data, &d) == nil {
			members, err := Object(data)
			for name := range members {
				switch name {
				case "name", "inner", "at", "list", "labels", "Plain", "Raw":
				default:
					t.Fatalf("the member %q of %q passed, %v", name, data, err)
				}
			}
		}
	})
}

// unambiguous is an independent judge: it reads tokens with the standard library and compares every pair of names.
func unambiguous(t *testing.T, data []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	type level struct {
		object bool
		names  []string
		name   bool // a name comes next
	}
	var stack []level
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return true
		}
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		top := len(stack) - 1
		if name, ok := token.(string); ok && top >= 0 && stack[top].object && stack[top].name {
			for _, other := range stack[top].names {
				if strings.EqualFold(name, other) {
					return false
				}
			}
			stack[top].names = append(stack[top].names, name)
			stack[top].name = false
			continue
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			stack = append(stack, level{object: token == json.Delim('{'), name: true})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
			top--
		}
		if top >= 0 {
			stack[top].name = true
		}
	}
}

// read keeps numbers as they stand: what is out of a float's range is still well-formed.
func read(t *testing.T, data []byte) (v any) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("accepted what cannot be read: %v", err)
	}
	return v
}

func TestWhatIsThereTwiceIsPointedAt(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"a":2}`: "/a", `{"a":1,"A":2}`: "/A", `{"x":[{},{"y":{"z":1,"\u007a":2}}]}`: "/x/1/y/z", `[0,{"a/b~":1,"a/b~":1}]`: "/1/a~1b~0",
		`{"x":{"a":1},"y":{"a":1},"x":2}`: "/x",
	} {
		var twice *DuplicateError
		if err := Check([]byte(text)); !errors.As(err, &twice) || !errors.Is(err, ErrDuplicate) || twice.Pointer != want {
			t.Errorf("%s: %v, %+v", text, err, twice)
		}
	}
}
