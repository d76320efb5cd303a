package password

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keizer-auth/keizer/internal/messages"
)

func TestAPasswordIsJudgedByHowSoonItWouldBeGuessed(t *testing.T) {
	about := []string{"annegret", "annegret.mueller@buchladen.example", "Annegret Müller", "Buchladen am Markt"}
	for password, want := range map[string]error{
		"short":                        ErrTooShort,
		"password1":                    ErrCommon,
		"Annegret":                     ErrGuessable,
		"annegret1":                    ErrGuessable,
		"4nnegret!":                    ErrGuessable,
		"annegret.mueller":             ErrGuessable,
		"annegretmueller":              ErrGuessable,
		"buchladen2024":                ErrGuessable,
		"BuchladenAmMarkt":             ErrGuessable,
		"qwertzuiop":                   ErrCommon,
		"asdfghjkl;'":                  ErrGuessable,
		"abcdefghijklm":                ErrGuessable,
		"1984-12-24":                   ErrGuessable,
		"abcabcabcabc":                 ErrGuessable,
		"Summer2024":                   ErrCommon,
		"correct horse battery staple": nil,
		"tulip-otter-magnet":           nil,
		"k7#mQz!p2vRw":                 nil,
		"über den wolken":              nil,
		"🦄🐙🌵🪵🎈":                        nil,
		"🎈🌵":                           ErrGuessable,
		"🎈🎈🎈🎈🎈🎈":                       ErrGuessable,
		"żółć":                         ErrGuessable,
		"пароль":                       ErrGuessable,
		"йцукенгшщз":                   ErrGuessable,
		"гуси летят над тихой рекой": nil,
		"用户名字好":                          nil,
		strings.Repeat("ü", 512):         ErrGuessable,
		strings.Repeat("ab", 512):        ErrGuessable,
		strings.Repeat("x", MaxLength+1): ErrTooLong,
		"caf\xe9 au lait, please":        ErrNoText,
	} {
		if got := Judge(password, about...); !errors.Is(got, want) {
			t.Errorf("Judge(%.40q) = %v, want %v", password, got, want)
		}
	}
}

func TestWhatIsKnownOfAPersonCountsAgainstTheirPasswordOnly(t *testing.T) {
	const password = "Wolkenkuckucksheim"
	if err := Judge(password); err != nil {
		t.Errorf("of nobody in particular: %v", err)
	}
	if err := Judge(password, "wolkenkuckucksheim@example.org"); !errors.Is(err, ErrGuessable) {
		t.Errorf("of who is called so: %v", err)
	}
	if err := Judge("correct horse battery staple", "", "a", "@", strings.Repeat("x", 5000), "\xff"); err != nil {
		t.Errorf("with odd words: %v", err)
	}
}

func TestEveryReasonHasAText(t *testing.T) {
	catalog, err := messages.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []error{ErrTooShort, ErrTooLong, ErrNoText, ErrCommon, ErrGuessable} {
		for _, tag := range catalog.Languages() {
			if id := Reason(reason); id == "" || !catalog.In(tag).Has(id) {
				t.Errorf("%v: %q in %s", reason, id, tag)
			}
		}
	}
	if Reason(errors.New("another")) != "" || Reason(nil) != "" {
		t.Error("a reason for nothing")
	}
}

// Strangers choose passwords, so judging one must be cheap whatever it is.
func TestJudgingIsCheapWhateverIsJudged(t *testing.T) {
	long := make([]string, 500)
	for i := range long {
		long[i] = strings.Repeat("abc def ", 20)
	}
	for _, password := range []string{
		strings.Repeat("4@8({[<369&#!1|0$5+7%2", 40), strings.Repeat("a", 71) + "b" + strings.Repeat("a", 900), strings.Repeat("qwerty1234", 100),
		strings.Repeat("1!il|", 200), strings.Repeat("12.12.2012", 100),
	} {
		began := time.Now()
		_ = Judge(password, long...)
		if took := time.Since(began); took > 500*time.Millisecond { // a few, if nothing else runs
			t.Errorf("%.20q takes %s", password, took)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("correct horse", "alice@example.com")
	f.Fuzz(func(t *testing.T, password, about string) {
		if err := Judge(password, about); err == nil && (len(password) < MinLength || len(password) > MaxLength || !utf8.ValidString(password)) {
			t.Fatalf("%q passes", password)
		}
	})
}
