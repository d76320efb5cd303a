package password

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
)

// What a hash from elsewhere may ask for at the most: each is somewhere between one and two seconds, or a memory that one of
// them at a time may have.
const (
	maxBcryptCost       = 14
	maxPBKDF2Iterations = 2_000_000
	maxScryptMemory     = 256 << 20 // bytes
	maxScryptR          = 64
	maxScryptP          = 16
	// maxStored bounds the text of a hash, in bytes, before anything looks into it.
	maxStored = 512
)

// The forms of hashes that were made elsewhere: modular crypt and PHC strings, of algorithms that are slow on purpose.
var (
	bcryptForm = regexp.MustCompile(`^\$2[aby]\$([01][0-9])\$[./A-Za-z0-9]{53}$`)
	scryptForm = regexp.MustCompile(`^\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9][0-9]?)\$([^$]+)\$([^$]+)$`)
	pbkdf2Form = regexp.MustCompile(`^\$(pbkdf2|pbkdf2-sha1|pbkdf2-sha256|pbkdf2-sha512)\$(?:i=)?([1-9][0-9]{0,7})(?:,l=[1-9][0-9]?)?\$([^$]+)\$([^$]+)$`)
	argon2Form = regexp.MustCompile(`^\$argon2[id]\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9])\$([^$]+)\$([^$]+)$`)
)

// crypted is what an LDAP directory writes before a crypt string.
const crypted = "{CRYPT}"

// imported reads a hash that was made elsewhere, and refuses what would cost more than it may, before any work.
func imported(text string) (*stored, error) {
	if len(text) > maxStored {
		return nil, ErrMalformed
	}
	if len(text) > len(crypted) && strings.EqualFold(text[:len(crypted)], crypted) {
		text = text[len(crypted):]
	}
	switch {
	case strings.HasPrefix(text, "$2"):
		return importedBcrypt(text)
	case strings.HasPrefix(text, "$scrypt$"):
		return importedScrypt(text)
	case strings.HasPrefix(text, "$pbkdf2"):
		return importedPBKDF2(text)
	case strings.HasPrefix(text, "$argon2i$"), strings.HasPrefix(text, "$argon2d$"):
		return importedArgon2(text)
	}
	return nil, fmt.Errorf("%w: no form that is known", ErrMalformed)
}

// importedBcrypt reads $2a$, $2b$ and $2y$, which are one algorithm under three names ($2x$ was another). It takes 72 bytes
// of a password and passes over the rest, as it did where the hash was made.
func importedBcrypt(text string) (*stored, error) {
	const minCost = 4
	cost, ok := bounded(bcryptForm.FindStringSubmatch(text), maxBcryptCost)
	if !ok || cost[0] < minCost {
		return nil, fmt.Errorf("%w: bcrypt", ErrMalformed)
	}
	digest, err := bcrypt.DecodeVariant(bcrypt.VariantStandard)(text)
	if err != nil {
		return nil, fmt.Errorf("%w: bcrypt", ErrMalformed)
	}
	return &stored{matches: func(password string) bool { return matches(digest, password) }}, nil
}

func importedScrypt(text string) (*stored, error) {
	fields := scryptForm.FindStringSubmatch(text)
	costs, ok := bounded(fields, 30, maxScryptR, maxScryptP)
	if !ok || !sized(base64.RawStdEncoding, fields[4:]) {
		return nil, fmt.Errorf("%w: scrypt", ErrMalformed)
	}
	memory := uint64(128) << costs[0] * costs[1] * costs[2]
	if memory > maxScryptMemory {
		return nil, fmt.Errorf("%w: scrypt with more than %d MiB", ErrMalformed, maxScryptMemory>>20)
	}
	digest, err := scrypt.DecodeVariant(scrypt.VariantScrypt)(text)
	if err != nil {
		return nil, fmt.Errorf("%w: scrypt", ErrMalformed)
	}
	return &stored{heavy: memory > light, matches: func(password string) bool { return matches(digest, password) }}, nil
}

// adapted is the base64 that PBKDF2 hashes are written in where they come from passlib; others write the standard's.
var adapted = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding)

func importedPBKDF2(text string) (*stored, error) {
	fields := pbkdf2Form.FindStringSubmatch(text)
	if fields == nil {
		return nil, fmt.Errorf("%w: PBKDF2", ErrMalformed)
	}
	iterations, ok := bounded([]string{"", fields[2]}, maxPBKDF2Iterations)
	salt, tag := strings.ReplaceAll(fields[3], "+", "."), strings.ReplaceAll(fields[4], "+", ".")
	if !ok || !sized(adapted, []string{salt, tag}) {
		return nil, fmt.Errorf("%w: PBKDF2", ErrMalformed)
	}
	name := strings.TrimSuffix(fields[1], "-sha1")
	digest, err := pbkdf2.Decode(fmt.Sprintf("$%s$%d$%s$%s", name, iterations[0], salt, tag))
	if err != nil {
		return nil, fmt.Errorf("%w: PBKDF2", ErrMalformed)
	}
	return &stored{matches: func(password string) bool { return matches(digest, password) }}, nil
}

// importedArgon2 reads the two variants of argon2 that are not ours.
func importedArgon2(text string) (*stored, error) {
	fields := argon2Form.FindStringSubmatch(text)
	costs, ok := bounded(fields, maxMemory, maxTime, maxThreads)
	if !ok || !sized(base64.RawStdEncoding, fields[4:]) || costs[0] < 8*costs[2] {
		return nil, fmt.Errorf("%w: argon2", ErrMalformed)
	}
	digest, err := argon2.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: argon2", ErrMalformed)
	}
	return &stored{heavy: costs[0]<<10 > light, matches: func(password string) bool { return matches(digest, password) }}, nil
}

// matches compares a password with a hash from elsewhere. None matches that has a NUL in it: bcrypt ends there in C, and HMAC
// takes one at the end for none, so that two passwords would be one.
func matches(digest algorithm.Digest, password string) bool {
	ok, err := digest.MatchAdvanced(password)
	return ok && err == nil && !strings.Contains(password, "\x00")
}

// bounded reads the numbers after the first field, one for each bound.
func bounded(fields []string, most ...uint64) ([]uint64, bool) {
	if len(fields) <= len(most) {
		return nil, false
	}
	numbers := make([]uint64, len(most))
	for i := range most {
		n, err := strconv.ParseUint(fields[i+1], 10, 32)
		if err != nil || n > most[i] {
			return nil, false
		}
		numbers[i] = n
	}
	return numbers, true
}

// sized reports whether a salt and a tag are of a length that hashes have.
func sized(encoding *base64.Encoding, fields []string) bool {
	salt, errSalt := encoding.Strict().DecodeString(fields[0])
	tag, errTag := encoding.Strict().DecodeString(fields[1])
	return errSalt == nil && errTag == nil && len(salt) >= minSalt && len(salt) <= maxBytes && len(tag) >= minTag && len(tag) <= maxBytes
}
