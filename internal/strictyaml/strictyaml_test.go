package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/strictjson"
)

func TestADocumentSaysWhatJSONCanSay(t *testing.T) {
	documents, err := Documents([]byte(`# comment
a: 1
b: [true, False, null, ~, -1.5e3]
"c/d": {e: text, f: "1", g: 2026-01-02, h: no, i: 'it''s'}
---
# nothing here
---
- |
  two
  lines
- >-
  one
  line
`))
	if err != nil || len(documents) != 2 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	for i, want := range []string{
		`{"a":1,"b":[true,false,null,null,-1.5e3],"c/d":{"e":"text","f":"1","g":"2026-01-02","h":"no","i":"it's"}}`, `["two\nlines\n","one line"]`,
	} {
		if got := string(documents[i].JSON); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for pointer, want := range map[string]int{"": 2, "/a": 2, "/b": 3, "/b/4": 3, "/b/9": 3, "/c~1d": 4, "/c~1d/e": 4, "/none/of/it": 2} {
		if got := documents[0].Line(pointer); got != want {
			t.Errorf("%q is at line %d, want %d", pointer, got, want)
		}
	}
	if got := documents[1].Line("/1"); got != 11 {
		t.Errorf("the second element is at line %d", got)
	}
}

func TestWhatCanBeReadInSeveralWaysIsPointedAt(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		line    int
		pointer string
		words   string
	}{
		"a member twice":              {"a: 1\nb:\n  c: 1\n  c: 2\n", 4, "/b/c", "twice"},
		"in another case":             {"a: 1\nA: 2\n", 2, "/A", "twice"},
		"an anchor":                   {"a: &x 1\nb: *x\n", 1, "/a", "anchors"},
		"an alias alone":              {"a: 1\nb: *x\n", 2, "", "anchors"},
		"a billion laughs":            {"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", 1, "/a", "anchors"},
		"a merge key":                 {"a:\n  <<: {b: 1}\n", 2, "/a", "merge keys"},
		"a tag":                       {"a: !!str 1\n", 1, "/a", "tags"},
		"a tag of one's own":          {"a: !env X\n", 1, "/a", "tags"},
		"an octal number":             {"a:\n- 0o17\n", 2, "/a/0", "decimal"},
		"a number with an underscore": {"a: 1_000\n", 1, "/a", "decimal"},
		"no number":                   {"a: .nan\n", 1, "/a", "decimal"},
		"a number for a name":         {"a:\n  1: x\n", 2, "/a/1", "quotes"},
		"a list for a name":           {"? [a]\n: b\n", 1, "", "names"},
		"an end that is missing":      {"a: [1\n", 1, "", "not YAML"},
		"a tab":                       {"a:\n\tb: 1\n", 2, "", "not YAML"},
		"not UTF-8":                   {"a: 1\nb: \xff\n", 2, "", "UTF-8"},
		"nested without end":          {strings.Repeat("[", 40) + strings.Repeat("]", 40), 1, strings.Repeat("/0", 33), "deeply"},
	} {
		_, err := Documents([]byte(c.text))
		var wrong *Error
		if !errors.As(err, &wrong) || wrong.Line != c.line || wrong.Pointer != c.pointer || !strings.Contains(wrong.Message, c.words) {
			t.Errorf("%s: %+v", name, err)
		}
	}
	if got := (&Error{3, "/clients/0/redirect_uris/1", "no"}).Error(); got != "line 3: clients[0].redirect_uris[1]: no" {
		t.Error(got)
	}
}

func TestWhatIsWrittenIsReadAsTheSame(t *testing.T) {
	const value = `{"keizer":1,"z":"no","a":["1","","~"," x","a: b","# c","- d","{e}","*f","&g","!h","%i","@j","true","2026-01-02","1:30","0x1","\u0000\u0007","\ud83d\ude00","two\nlines\n","\u2028","'","\"","\\"],` +
		`"o":{"env":"X","optional":true},"e":{},"l":[],"n":null,"f":1.50,"i":{"":"empty","a/b~c":[{"x":1,"y":[[]]}],"?":0}}`
	out, err := Write([]byte(value), func(pointer string) Note {
		switch pointer {
		case "":
			return Note{Above: "what this is"}
		case "/o":
			return Note{Short: true, Beside: "kept where X is not set", Above: "a secret"}
		}
		return Note{}
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := Documents(out)
	if err != nil || len(documents) != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	var want bytes.Buffer
	if json.Compact(&want, []byte(value)) != nil || !same(t, documents[0].JSON, want.Bytes()) {
		t.Errorf("%s\n%s", documents[0].JSON, want.Bytes())
	}
	for _, line := range []string{"# what this is\n", "# a secret\no: {env: X, optional: true} # kept where X is not set\n", "z: \"no\"\n", "e: {}\n"} {
		if !strings.Contains(string(out), line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
}

func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var first, second any
	if err := errors.Join(json.Unmarshal(a, &first), json.Unmarshal(b, &second)); err != nil {
		t.Fatal(err)
	}
	x, err := json.Marshal(first)
	y, err2 := json.Marshal(second)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// Whatever a file holds: what is read of it has one meaning, and is read again as the same after it was written.
func FuzzDocuments(f *testing.F) {
	for _, seed := range []string{
		"keizer: 1\nslug: acme\nclients:\n- client_id: web\n  secret: {env: X}\n", "a: &x [*x]", "? a\n: b", "--- |\n x\n---\n...\n", "a: \"\\u0000\"", "[]", "- - - 1",
		"%YAML 1.2\n---\na: 1", "\ufeffa: 1", "a: !!binary aGk=", "<<: {a: 1}", "a: >+\n  b\n\n", "'': ''", "a: 1e400", "\"a\\\n b\": c", "a: \"\u2029\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		documents, err := Documents(data)
		if err != nil {
			if wrong := (*Error)(nil); !errors.As(err, &wrong) || wrong.Line < 1 {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		for _, d := range documents {
			if err := strictjson.Check(d.JSON); err != nil {
				t.Fatalf("%q is read as %q: %v", data, d.JSON, err)
			}
			out, err := Write(d.JSON, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Documents(out)
			if string(d.JSON) == "null" {
				continue
			}
			if err != nil || len(again) != 1 || !same(t, d.JSON, again[0].JSON) {
				t.Fatalf("%q is written as %q: %v", d.JSON, out, err)
			}
		}
	})
}
