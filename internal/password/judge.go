package password

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/matching"
)

// ErrGuessable says that a password has the length, but would be guessed early.
var ErrGuessable = errors.New("this password is easily guessed: make it longer, or choose words that have nothing to do with one another")

const (
	// judged is how much of a password is looked at, in bytes: looking takes longer the longer it is, and what has not
	// become hard to guess by then never does.
	judged = 72
	// enough is the estimate from which on a password passes: 10^8 guesses.
	enough = 2
	// telling is how long a word is, in bytes, that counts as one of the person's own.
	telling = 3
	// maxAbout bounds the words that are known of a person.
	maxAbout = 64
	// enoughDigits is how many digits the number of guesses has, that are enough.
	enoughDigits = 8
)

// Judge reports whether somebody may choose a password: what Check asks, and that it takes more guesses than anybody makes who
// tries words, names, dates, keyboard rows, their repetitions and the usual replacements of letters, above all the words that are
// known of the person: user name, e-mail address, name, organization. It has no rules about kinds of characters.
func Judge(password string, about ...string) error {
	if err := Check(password); err != nil {
		return err
	}
	own, password := words(about), unit(password)
	// What is estimated below is by bytes, of which two pictures or four letters beyond ASCII have as many as a password must.
	if digits(password) < enoughDigits {
		return ErrGuessable
	}
	for _, text := range readings(password) {
		// How many replacements of letters there are to try grows without bounds with their number, so they were undone before.
		if zxcvbn.PasswordStrength(text, own, matching.FilterL33tMatcher).Score < enough {
			return ErrGuessable
		}
	}
	return nil
}

// digits is how many digits the number of texts has that are made of as many characters of the same kinds.
func digits(text string) (n float64) {
	const ( // the logarithms of how many there are
		digit, letter, sign        = 1, 1.4, 1.5
		accented, picture, nothing = 1.6, 3, 0
	)
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector):
			n += nothing
		case '0' <= r && r <= '9':
			n += digit
		case r <= unicode.MaxASCII && unicode.IsLetter(r):
			n += letter
		case r <= unicode.MaxASCII:
			n += sign
		case unicode.In(r, unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Arabic, unicode.Hebrew, unicode.M):
			n += accented
		default: // whoever writes with characters or pictures has thousands of them, and uses some
			n += picture
		}
	}
	return n
}

// unit is what a password repeats, or the whole of it.
func unit(password string) string {
	for n := 1; n <= len(password)/2; n++ {
		if password[n:] == password[:len(password)-n] {
			return password[:n]
		}
	}
	return password
}

// What stands for a letter, in the two ways that a 1 is read; and what is between the parts of a date or a number.
var (
	plain  = []*strings.Replacer{undone("i"), undone("l")}
	joined = strings.NewReplacer("-", "", ".", "", "/", "", " ", "", ",", "", ":", "", "_", "")
)

// keys are what stands on the keys of a Russian keyboard besides: what is typed in a row, and the commonest words, are known by those.
var keys = strings.NewReplacer(
	"й", "q", "ц", "w", "у", "e", "к", "r", "е", "t", "н", "y", "г", "u", "ш", "i", "щ", "o", "з", "p", "х", "[", "ъ", "]",
	"ф", "a", "ы", "s", "в", "d", "а", "f", "п", "g", "р", "h", "о", "j", "л", "k", "д", "l", "ж", ";", "э", "'",
	"я", "z", "ч", "x", "с", "c", "м", "v", "и", "b", "т", "n", "ь", "m", "б", ",", "ю", ".", "ё", "`",
)

// undone undoes the usual replacements of letters; one is what stands for a 1.
func undone(one string) *strings.Replacer {
	return strings.NewReplacer("1", one, "!", one, "|", one, "4", "a", "@", "a", "8", "b", "3", "e", "6", "g", "9", "g", "0", "o", "$", "s", "5", "s",
		"7", "t", "+", "t", "2", "z")
}

// readings are the ways in which a password may be meant: as it stands, with the usual replacements of letters undone, where it
// is but digits, without what is between them, and as the keys that it is typed with. Each is as much of it as is looked at.
func readings(password string) []string {
	for len(password) > judged || !utf8.ValidString(password) {
		_, size := utf8.DecodeLastRuneInString(password[:min(len(password), judged+utf8.UTFMax)])
		password = password[:min(len(password), judged+utf8.UTFMax)-size]
	}
	all := []string{password}
	for _, p := range plain {
		if text := p.Replace(password); text != password {
			all = append(all, text)
		}
	}
	if text := joined.Replace(password); text != password && strings.Trim(text, "0123456789") == "" {
		all = append(all, text)
	}
	if lower := strings.ToLower(password); strings.ContainsFunc(lower, func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) }) {
		all = append(all, keys.Replace(lower))
	}
	return all
}

// words takes what is known of a person apart: whole, and in its parts.
func words(about []string) []string {
	all := []string{"keizer"}
	for _, text := range about {
		lower := strings.ToLower(text)
		parts := strings.FieldsFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		local, _, _ := strings.Cut(lower, "@")
		for _, word := range append(parts, lower, local, strings.Join(parts, "")) {
			if len(word) >= telling && len(word) <= judged && len(all) < maxAbout {
				all = append(all, word)
			}
		}
	}
	return all
}

// Reason is the id of the text that tells a person why Check or Judge refused a password; empty for any other error.
func Reason(err error) string {
	for _, r := range []struct {
		err error
		id  string
	}{
		{ErrTooShort, "password.too_short"}, {ErrTooLong, "password.too_long"}, {ErrNoText, "password.no_text"},
		{ErrCommon, "password.common"}, {ErrGuessable, "password.guessable"},
	} {
		if errors.Is(err, r.err) {
			return r.id
		}
	}
	return ""
}
