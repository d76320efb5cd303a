package messages

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/text/language"
)

func TestEveryLanguageIsComplete(t *testing.T) {
	catalog, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := catalog.Complete(); err != nil {
		t.Error(err)
	}
	if catalog.Languages()[0] != language.English {
		t.Errorf("the languages are %v", catalog.Languages())
	}
}

func TestATextIsFilledInAndCounted(t *testing.T) {
	catalog, err := load(fstest.MapFS{
		"texts/a.en.json": {Data: []byte(`{"a.plain": "Plain", "a.name": "For {{.name}}",
			"a.many": {"one": "{{.count}} session", "other": "{{.count}} sessions"}}`)},
		"texts/a.ar.json": {Data: []byte(`{"a.plain": "عادي", "a.name": "إلى {{.name}}",
			"a.many": {"zero": "0", "one": "1", "two": "2", "few": "few", "many": "many", "other": "other"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	english, arabic := catalog.In(language.English), catalog.In(language.Arabic)
	for _, c := range []struct {
		texts *Texts
		id    string
		pairs []string
		want  string
	}{
		{english, "a.plain", nil, "Plain"},
		{english, "a.name", []string{"name", "<b>{{.x}}</b>"}, "For <b>{{.x}}</b>"},
		{english, "a.many", []string{"count", "1"}, "1 session"},
		{english, "a.many", []string{"count", "2"}, "2 sessions"},
		{arabic, "a.plain", nil, "عادي"},
		{arabic, "a.many", []string{"count", "2"}, "2"},
		{arabic, "a.many", []string{"count", "5"}, "few"},
		{catalog.In(language.Thai), "a.plain", nil, "Plain"},
	} {
		if got, err := c.texts.T(c.id, c.pairs...); got != c.want || err != nil {
			t.Errorf("%s %v: %q, %v", c.id, c.pairs, got, err)
		}
	}
	if _, err := english.T("a.none"); !errors.Is(err, ErrUnknown) || english.Has("a.none") || !english.Has("a.many") {
		t.Errorf("a text that is not there: %v", err)
	}
	if _, err := english.T("a.many", "count", "some"); err == nil {
		t.Error("a count that is none was taken")
	}
}

func TestATextIsAboutTheSameInEveryLanguage(t *testing.T) {
	const english = `{"a.one": "{{if .who}}{{.who}} asks{{else}}Asked{{end}} for {{.what}}"}`
	for arabic, whole := range map[string]bool{
		`{"a.one": "{{.what}} {{if .who}}{{.who}}{{end}}"}`: true, `{"a.one": "{{.what}}"}`: false, `{"a.one": "{{.what}} {{.hwo}}"}`: false, `{"a.one": "."}`: false,
	} {
		catalog, err := load(fstest.MapFS{"texts/a.en.json": {Data: []byte(english)}, "texts/a.ar.json": {Data: []byte(arabic)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := catalog.Complete(); (err == nil) != whole || err != nil && !strings.Contains(err.Error(), `"what, who" in English`) {
			t.Errorf("%s: %v", arabic, err)
		}
	}
}

func TestWhatALanguageLacksIsMissedAndSaidInEnglish(t *testing.T) {
	for name, arabic := range map[string]string{
		"lack": `{"a.one": "1"}`, "have": `{"a.one": "1", "a.two": "2", "a.three": "3"}`, "is empty": `{"a.one": "1", "a.two": ""}`, "read": `[`,
	} {
		catalog, err := load(fstest.MapFS{
			"texts/a.en.json": {Data: []byte(`{"a.one": "1", "a.two": "2"}`)}, "texts/a.ar.json": {Data: []byte(arabic)},
		})
		if err == nil {
			err = catalog.Complete()
			if text, err := catalog.In(language.Arabic).T("a.two"); text != "2" || err != nil {
				t.Errorf("%s: %q, %v", arabic, text, err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
			t.Errorf("%s: %v", arabic, err)
		}
	}
}
