package identity

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// scripts are those that user names are written in: the ones that Unicode recommends for identifiers (UAX #31, Table 5). Of the others
// hardly anybody can say what looks like what.
var scripts = []*unicode.RangeTable{
	unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Arabic, unicode.Bengali, unicode.Bopomofo, unicode.Devanagari,
	unicode.Ethiopic, unicode.Georgian, unicode.Gujarati, unicode.Gurmukhi, unicode.Han, unicode.Hangul, unicode.Hebrew, unicode.Hiragana,
	unicode.Kannada, unicode.Katakana, unicode.Khmer, unicode.Lao, unicode.Malayalam, unicode.Myanmar, unicode.Oriya, unicode.Sinhala,
	unicode.Tamil, unicode.Telugu, unicode.Thaana, unicode.Thai, unicode.Tibetan,
}

// alphabets are the scripts whose letters look like one another's.
var alphabets = []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian}

// legible reports whether a user name is what it looks like: in scripts that people know, and with the letters of one of the alphabets
// that look alike (UTS #39 §5.2). Who is called "admin" with a Cyrillic "а" means to be taken for somebody else.
func legible(name string) bool {
	var alphabet *unicode.RangeTable
	for _, r := range name {
		if unicode.In(r, unicode.Common, unicode.Inherited) {
			continue
		}
		if !unicode.In(r, scripts...) {
			return false
		}
		for _, a := range alphabets {
			if !unicode.Is(a, r) {
				continue
			}
			if alphabet != nil && alphabet != a {
				return false
			}
			alphabet = a
		}
	}
	return true
}

// plain undoes what case mapping leaves: the sigma at the end of a word, the ß whose capital is SS, the i with and without its dot. And
// it takes Latin letters of another design for those that they look like.
var plain = strings.NewReplacer(
	"ς", "σ", "ß", "ss", "ı", "i", "i\u0307", "i", "ȷ", "j", "j\u0307", "j", "ɑ", "a", "ɡ", "g", "ɩ", "i",
	"ᴀ", "a", "ʙ", "b", "ᴄ", "c", "ᴅ", "d", "ᴇ", "e", "ꜰ", "f", "ɢ", "g", "ʜ", "h", "ɪ", "i", "ᴊ", "j", "ᴋ", "k", "ʟ", "l", "ᴍ", "m", "ɴ", "n",
	"ᴏ", "o", "ᴘ", "p", "ʀ", "r", "ꜱ", "s", "ᴛ", "t", "ᴜ", "u", "ᴠ", "v", "ᴡ", "w", "ʏ", "y", "ᴢ", "z",
)

// latin are the letters of other alphabets that look like Latin ones, as capitals or as small letters.
var latin = map[rune]rune{
	'а': 'a', 'в': 'b', 'е': 'e', 'к': 'k', 'м': 'm', 'н': 'h', 'о': 'o', 'р': 'p', 'с': 'c', 'т': 't', 'у': 'y', 'х': 'x', 'ё': 'ë',
	'і': 'i', 'ї': 'ï', 'ј': 'j', 'ѕ': 's', 'һ': 'h', 'ԁ': 'd', 'ԛ': 'q', 'ԝ': 'w', 'ѵ': 'v', 'ӏ': 'l',
	'α': 'a', 'β': 'b', 'ε': 'e', 'ζ': 'z', 'η': 'h', 'ι': 'i', 'κ': 'k', 'μ': 'm', 'ν': 'n', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'υ': 'y', 'χ': 'x',
	'ά': 'á', 'έ': 'é', 'ή': 'h', 'ί': 'í', 'ό': 'ó', 'ύ': 'ý', 'ϊ': 'ï', 'ϋ': 'ÿ', 'ϲ': 'c', 'ϳ': 'j',
	'օ': 'o', 'ո': 'n', 'ս': 'u', 'հ': 'h', 'ց': 'g', 'զ': 'q', 'յ': 'j',
}

// folded is the one form of user names that look the same: digits of whichever script are their number, and a name all of whose letters
// look like Latin ones is the Latin name. It does not know every letter that resembles another; it knows the alphabets that people
// write in.
func folded(name string) string {
	name = strings.Map(digit, plain.Replace(name))
	other := false
	for _, r := range name {
		if !unicode.IsLetter(r) {
			continue
		}
		if latin[r] == 0 {
			return name
		}
		other = true
	}
	if !other {
		return name
	}
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if l := latin[r]; l != 0 {
			return l
		}
		return r
	}, name))
}

// digit is the ASCII digit of the same number; anything that is no digit stays what it is. Unicode keeps the digits of a script
// together, from zero to nine.
func digit(r rune) rune {
	if r <= unicode.MaxASCII || !unicode.IsDigit(r) {
		return r
	}
	for _, of := range unicode.Nd.R16 {
		if rune(of.Lo) <= r && r <= rune(of.Hi) {
			return '0' + (r-rune(of.Lo))%10
		}
	}
	for _, of := range unicode.Nd.R32 {
		if rune(of.Lo) <= r && r <= rune(of.Hi) { //nolint:gosec // code points
			return '0' + (r-rune(of.Lo))%10 //nolint:gosec // as above
		}
	}
	return r
}
