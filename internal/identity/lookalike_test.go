package identity

import (
	"errors"
	"strings"
	"testing"
)

func TestUserNamesThatLookTheSameAreTheSame(t *testing.T) {
	for _, c := range []struct{ name, looks string }{
		{"AHHA", "анна"}, {"AHHA", "АННА"}, {"KATE", "КАТЕ"}, {"scope", "ѕсоре"}, {"c0p", "с0р"}, {"cop-1", "сор-1"}, {"ë", "ё"},
		{"NIKO", "ΝΙΚΟ"}, {"NIKO", "νικο"}, {"hou", "հօս"}, {"ALICE", "ᴀʟɪᴄᴇ"}, {"alice", "alıce"}, {"alice", "ɑlice"}, {"istanbul", "İstanbul"},
		{"user1", "user१"}, {"محمد1", "محمد١"}, {"007", "०੦௭"}, {"STRASSE", "straße"}, {"ΠΑΣ", "πας"}, {"mike", "mi\u212ae"}, {"user", "ｕｓｅｒ"},
	} {
		want, err := Username(c.name)
		if err != nil {
			t.Errorf("%q: %v", c.name, err)
			continue
		}
		if got, err := Username(c.looks); err != nil || got != want {
			t.Errorf("Username(%q) = %q, %v, want %q as of %q", c.looks, got, err, want, c.name)
		}
	}
}

func TestAUserNameIsNotMadeUpOfAlphabetsThatLookAlike(t *testing.T) {
	for _, name := range []string{"аdmin", "adміn", "gοοgle", "bօb", "Ꭺlice", "ᎪᎡᎢ", "ꓮꓡꓲꓚꓰ", "αб", "user\U00010400"} {
		if canonical, err := Username(name); !errors.Is(err, ErrUsername) {
			t.Errorf("%q is the user name %q, %v", name, canonical, err)
		}
	}
}

// What is only somebody's language stays as it is, and apart from every other name.
func TestUserNamesInEveryLanguageAreTakenAsTheyAre(t *testing.T) {
	for _, name := range []string{
		"сергей", "марина2", "юлия", "γιώργος", "արամ", "דוד", "محمد", "नरेन्द्र", "สมชาย", "用户", "田中さん", "김철수", "tanaka-田中", "ünal", "nguyễn", "x_1.y-z",
	} {
		canonical, err := Username(name)
		if err != nil || canonical != strings.ReplaceAll(name, "ς", "σ") {
			t.Errorf("Username(%q) = %q, %v", name, canonical, err)
		}
		if upper, err := Username(strings.ToUpper(name)); err != nil || upper != canonical {
			t.Errorf("Username(%q) = %q, %v, want %q", strings.ToUpper(name), upper, err, canonical)
		}
	}
}
