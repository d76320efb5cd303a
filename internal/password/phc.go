package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
	salt    uint32 // bytes
	tag     uint32 // bytes
}

// What a stored hash may ask for at the most. Hashes come from imports too, and one with memory=4 GiB would be a way to
// take the server down by trying to sign in.
const (
	maxMemory  = 256 << 10 // KiB
	maxTime    = 10
	maxThreads = 4
	minSalt    = 8
	minTag     = 16
	maxBytes   = 64
)

// stored is a hash that was read: what it takes to compare a password with it.
type stored struct {
	// matches does the work.
	matches func(password string) bool
	// made is what an argon2id hash was made with; of all others it is empty.
	made params
	// heavy is true when the work takes much memory.
	heavy bool
}

// light is up to how much memory a hash may take to be computed beside others, in bytes.
const light = 64 << 20

// read reads a stored hash, ours or one from elsewhere.
func read(text string) (*stored, error) {
	if !strings.HasPrefix(text, "$argon2id$") {
		return imported(text)
	}
	p, salt, want, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &stored{
		matches: func(password string) bool { return subtle.ConstantTimeCompare(derive(password, salt, p), want) == 1 },
		made:    p, heavy: uint64(p.memory)<<10 > light,
	}, nil
}

// Importable reports whether a hash that was made elsewhere can be verified here, within the bounds of what that may cost: bcrypt,
// scrypt, PBKDF2 and argon2, as modular crypt or PHC strings. No hash at all is not one: who has no password gets None.
func Importable(hash string) error {
	_, err := read(hash)
	return err
}

func format(p params, salt, tag []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, b64(salt), b64(tag))
}

// parse reads the one form that format writes: $argon2id$v=19$m=…,t=…,p=…$salt$tag.
func parse(phc string) (p params, salt, tag []byte, err error) {
	fields := strings.Split(phc, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, nil, nil, ErrMalformed
	}
	costs := strings.Split(fields[3], ",")
	if len(costs) != 3 {
		return p, nil, nil, ErrMalformed
	}
	memory, okM := cost(costs[0], "m=", maxMemory)
	time, okT := cost(costs[1], "t=", maxTime)
	threads, okP := cost(costs[2], "p=", maxThreads)
	salt, okSalt := bytesOf(fields[4], minSalt)
	tag, okTag := bytesOf(fields[5], minTag)
	if !okM || !okT || !okP || !okSalt || !okTag || memory < 8*threads { // RFC 9106 §3.1: at least 8 KiB a lane
		return p, nil, nil, ErrMalformed
	}
	p = params{memory, time, uint8(threads), uint32(len(salt)), uint32(len(tag))} //nolint:gosec // each is within its bounds by now
	return p, salt, tag, nil
}

func cost(field, name string, most uint32) (uint32, bool) {
	digits, ok := strings.CutPrefix(field, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n >= 1 && n <= uint64(most) && digits[0] != '0' && digits[0] != '+'
}

func bytesOf(field string, least int) ([]byte, bool) {
	if len(field) > base64.RawStdEncoding.EncodedLen(maxBytes) {
		return nil, false
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(field)
	return b, err == nil && len(b) >= least && !strings.ContainsAny(field, "\r\n") // which the decoder would skip
}
