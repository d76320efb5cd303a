package claimsource

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func object(t *testing.T, text string) (members map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return members
}

func known(claim string) bool { return claim != "sub" && claim != "roles" }

func TestOnlyWellFormedSourcesAreKept(t *testing.T) {
	const source = `{"JWT":"eyJh.eyJi.c2ln"}`
	for name, c := range map[string]struct{ told, want string }{
		"aggregated":  {`{"_claim_names":{"address":"a","phone_number":"a"},"_claim_sources":{"a":` + source + `}}`, `{"names":{"address":"a","phone_number":"a"},"sources":{"a":{"JWT":"eyJh.eyJi.c2ln"}}}`},
		"distributed": {`{"_claim_names":{"birthdate":"b"},"_claim_sources":{"b":{"endpoint":"https://bank.example/claims","access_token":"ksj3n283dke"}}}`, `{"names":{"birthdate":"b"},"sources":{"b":{"endpoint":"https://bank.example/claims","access_token":"ksj3n283dke"}}}`},
		"for anybody": {`{"_claim_names":{"birthdate":"b"},"_claim_sources":{"b":{"endpoint":"https://bank.example/claims","more":1}}}`, `{"names":{"birthdate":"b"},"sources":{"b":{"endpoint":"https://bank.example/claims"}}}`},
		"one of two":  {`{"_claim_names":{"sub":"a","roles":"a","name":"a","email":"none","x":7},"_claim_sources":{"a":` + source + `,"unused":` + source + `}}`, `{"names":{"name":"a"},"sources":{"a":{"JWT":"eyJh.eyJi.c2ln"}}}`},
		"encrypted":   {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{"JWT":"a.b.c.d.e"}}}`, `{"names":{"name":"a"},"sources":{"a":{"JWT":"a.b.c.d.e"}}}`},
		"no names":    {`{"_claim_sources":{"a":` + source + `}}`, ""}, "no sources": {`{"_claim_names":{"name":"a"}}`, ""},
		"another form": {`{"_claim_names":["name"],"_claim_sources":"a"}`, ""}, "a text": {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":"JWT"}}`, ""},
		"no JWT": {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{"JWT":"<script>"}}}`, ""}, "of nothing": {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{}}}`, ""},
		"over http": {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{"endpoint":"http://bank.example/"}}}`, ""}, "within": {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{"endpoint":"https://169.254.169.254/"}}}`, ""},
		"a broken token": {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{"endpoint":"https://bank.example/","access_token":"a b"}}}`, ""},
		"a long one":     {`{"_claim_names":{"name":"a"},"_claim_sources":{"a":{"JWT":"a.` + strings.Repeat("b", 16<<10) + `.c"}}}`, ""},
		"too much":       {`{"_claim_names":{"name":"a","email":"b"},"_claim_sources":{"a":{"JWT":"a.` + strings.Repeat("b", 15<<10) + `.c"},"b":{"JWT":"a.` + strings.Repeat("b", 15<<10) + `.c"}}}`, ""},
	} {
		if got := Read(object(t, c.told), known).Text(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	many := map[string]any{}
	for i := range 100 {
		many[fmt.Sprintf("claim%02d", i)] = fmt.Sprintf("s%d", i)
	}
	sources := map[string]any{}
	for i := range 100 {
		sources[fmt.Sprintf("s%d", i)] = map[string]any{"JWT": "a.b.c"}
	}
	if set := Read(map[string]any{Names: many, Sources: sources}, known); len(set.Names) != mostSources || len(set.Sources) != mostSources {
		t.Errorf("%d of %d", len(set.Names), len(set.Sources))
	}
}

func TestSourcesOfSeveralProvidersStandInOneDocument(t *testing.T) {
	one := Parse(`{"names":{"address":"a","email":"a","birthdate":"b"},"sources":{"a":{"JWT":"a.b.c"},"b":{"endpoint":"https://b.example/"}}}`)
	two := Parse(`{"names":{"address":"a","phone_number":"a"},"sources":{"a":{"JWT":"d.e.f"}}}`)
	document := map[string]any{"email": "alice@example.com"}
	Add(document, []*Set{one, two}, func(claim string) bool { return claim != "birthdate" })
	text, err := json.Marshal(document)
	if want := `{"_claim_names":{"address":"src1","phone_number":"src2"},"_claim_sources":{"src1":{"JWT":"a.b.c"},"src2":{"JWT":"d.e.f"}},"email":"alice@example.com"}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	bare := map[string]any{}
	if Add(bare, []*Set{one}, func(string) bool { return false }); len(bare) != 0 || Parse("x") != nil {
		t.Errorf("%v", bare)
	}
}
