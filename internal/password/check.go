package password

import (
	_ "embed"
	"errors"
	"strings"
	"sync"
	"unicode/utf8"
)

// What a password may be long, in bytes. Below 8 it is guessed; above 1024 hashing it is a favour to an attacker.
const (
	MinLength = 8
	MaxLength = 1024
)

// The reasons for which a password is refused, in words for the person who chose it.
var (
	ErrTooShort = errors.New("the password must have at least 8 characters")
	ErrTooLong  = errors.New("the password must have at most 1024 bytes")
	ErrNoText   = errors.New("the password must be text in UTF-8, or it cannot be typed")
	ErrCommon   = errors.New("this password is among the first that anyone would guess")
)

//go:embed common.txt
var commonList string

var common = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool)
	for line := range strings.Lines(commonList) {
		if word := strings.TrimSpace(line); word != "" && word[0] != '#' {
			set[word] = true
		}
	}
	return set
})

// Check reports whether something may be a password: by its length and by whether it is among the commonest, not by the
// kinds of characters in it (ASVS 5.0 6.2.5 forbids such rules: they make passwords worse).
func Check(password string) error {
	switch {
	case len(password) < MinLength:
		return ErrTooShort
	case len(password) > MaxLength:
		return ErrTooLong
	case !utf8.ValidString(password):
		return ErrNoText
	case common()[strings.ToLower(password)], strings.Count(password, password[:1]) == len(password):
		return ErrCommon
	}
	return nil
}
