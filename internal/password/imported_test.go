package password

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// elsewhere are hashes of "correct horse" that other programs have made: glibc's crypt, Python's hashlib, and the reference
// implementation of argon2.
var elsewhere = map[string]string{
	"$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                                                      "correct horse",
	"$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                                                      "correct horse",
	"$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                                                      "correct horse",
	"{CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                                               "correct horse",
	"$2b$05$abcdefghijklmnopqrstuu8.jUwy2H39vflZqscoNSFkfjFPyCXMu":                                                                      "pässwörter",
	"$pbkdf2$1000$c2FsdHNhbHRzYWx0c2FsdA$EUcKisx.yviAqdTmlEPmy.5ykUU":                                                                   "correct horse",
	"$pbkdf2-sha1$i=1000$c2FsdHNhbHRzYWx0c2FsdA$EUcKisx+yviAqdTmlEPmy+5ykUU":                                                            "correct horse",
	"$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$BBs.1.PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM":                                            "correct horse",
	"$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHRzYWx0c2FsdA$BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM":                                     "correct horse",
	"$pbkdf2-sha512$1000$c2FsdHNhbHRzYWx0c2FsdA$EHLBej.uEvxlmr0QnHnceg1vM6h1wbwSP5XErh3SmizNDWZsIi28RPGARe0EssjGRoiACzxgHjNvqwJY1zxKig": "correct horse",
	"$scrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$1idRgu6ns74sljt005o5BblTKV7Jul0HPGT6aXWnXKY":                                          "correct horse",
	"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA":                                             "password",
	"$argon2d$v=19$m=65536,t=3,p=4$HV/RIiFSYEMoRYqBcFnqfg$eGNckPZjkL2xOIHZv8Q4ROg5xbcdD8ijIJOgPwVAPmA":                                  "password",
}

func TestAHashMadeElsewhereIsVerifiedAndOutdated(t *testing.T) {
	h := New(Options{})
	for hash, right := range elsewhere {
		if err := Importable(hash); err != nil {
			t.Errorf("%s: %v", hash, err)
			continue
		}
		if ok, outdated, err := h.Verify(t.Context(), right, hash); !ok || !outdated || err != nil {
			t.Errorf("%s: %v, %v, %v", hash, ok, outdated, err)
		}
		for _, wrong := range []string{"", right + " ", strings.ToUpper(right), right + "\x00", right[:len(right)-1]} {
			if ok, _, err := h.Verify(t.Context(), wrong, hash); ok || err != nil {
				t.Errorf("%s with %q: %v, %v", hash, wrong, ok, err)
			}
		}
	}
	if len(h.slots) != 0 || len(h.heavy) != 0 {
		t.Error("a slot is still held")
	}
}

// bcrypt looks at 72 bytes, here as where the hash was made (glibc's crypt, of 72 x). What is longer is let in, and from then on
// the whole of it counts, since the hash is made anew.
func TestBcryptTakesSeventyTwoBytesAsItDidElsewhere(t *testing.T) {
	h := New(Options{})
	const hash = "$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q"
	for password, want := range map[string]bool{
		strings.Repeat("x", 71): false, strings.Repeat("x", 72): true, strings.Repeat("x", 73) + "y": true, strings.Repeat("x", 71) + "y": false,
		strings.Repeat("x", 72) + "\x00": false, "\x00": false, strings.Repeat("x", MaxLength+1): false,
	} {
		if ok, _, err := h.Verify(t.Context(), password, hash); ok != want || err != nil {
			t.Errorf("%d bytes: %v, %v, want %v", len(password), ok, err, want)
		}
	}
}

func TestAnImportedHashThatAsksForTooMuchIsRefusedBeforeAnyWork(t *testing.T) {
	h := New(Options{Slots: 1, Wait: time.Nanosecond})
	h.slots <- struct{}{} // whoever tries to work is busy
	const salt, tag = "c2FsdHNhbHRzYWx0c2FsdA", "BBs.1.PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM"
	if _, _, err := h.Verify(t.Context(), "password", "$pbkdf2-sha256$1000$"+salt+"$"+tag); !errors.Is(err, ErrBusy) {
		t.Fatalf("the good one: %v", err)
	}
	const standard = "BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM"
	const b = "abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"
	for _, hash := range []string{
		None, "", "*", "x", "password", "{SSHA}AAAA", "$1$salt$qJH7.N4xYta3aEG/dfqo/0", "$6$salt$x", "$y$j9T$x$y", "$7$x", "$plaintext$password",
		"5f4dcc3b5aa765d61d8327deb882cf99", "$md5$x",
		"$2b$15$" + b, "$2b$31$" + b, "$2b$99$" + b, "$2b$03$" + b, "$2b$5$" + b, "$2x$05$" + b, "$2$05$" + b, "$2b$05$" + b + "a", "$2b$05$" + b[1:],
		"$2b$05$" + b + "\n", "$2b$05$" + b[1:] + "!", "$bcrypt-sha256$v=2,t=2b,r=12$" + b[:22] + "$" + b[22:],
		"$scrypt$ln=30,r=8,p=1$" + salt + "$" + standard, "$scrypt$ln=18,r=9,p=1$" + salt + "$" + standard, "$scrypt$ln=14,r=8,p=17$" + salt + "$" + standard,
		"$scrypt$ln=99,r=99,p=99$" + salt + "$" + standard, "$scrypt$ln=0,r=8,p=1$" + salt + "$" + standard, "$scrypt$ln=14,r=0,p=1$" + salt + "$" + standard,
		"$scrypt$ln=14,r=8$" + salt + "$" + standard, "$scrypt$ln=14,r=8,p=1$" + salt + "$", "$scrypt$ln=14,r=8,p=1$$" + standard,
		"$pbkdf2-sha256$2000001$" + salt + "$" + tag, "$pbkdf2-sha256$4294967296$" + salt + "$" + tag, "$pbkdf2-sha256$0$" + salt + "$" + tag,
		"$pbkdf2-sha256$-1$" + salt + "$" + tag, "$pbkdf2-md5$1000$" + salt + "$" + tag, "$pbkdf2-sha256$1000$AAAA$" + tag, "$pbkdf2-sha256$1000$" + salt + "$AAAA",
		"$pbkdf2-sha256$1000$" + salt + "$" + strings.Repeat("A", 120), "$pbkdf2-sha256$1000$" + salt, "$pbkdf2-sha256$1000$" + salt + "$" + tag + "$x",
		"$argon2i$v=19$m=4194304,t=2,p=1$" + salt + "$" + standard, "$argon2i$v=19$m=65536,t=11,p=1$" + salt + "$" + standard,
		"$argon2d$v=19$m=65536,t=2,p=5$" + salt + "$" + standard, "$argon2d$v=16$m=65536,t=2,p=1$" + salt + "$" + standard,
		"$argon2d$m=65536,t=2,p=1$" + salt + "$" + standard, "$argon2d$v=19$m=0,t=2,p=1$" + salt + "$" + standard, "$argon2d$v=19$m=8,t=2,p=4$" + salt + "$" + standard,
		strings.Repeat("$", 1<<20), "$2b$05$" + strings.Repeat("a", 1<<20),
	} {
		if err := Importable(hash); !errors.Is(err, ErrMalformed) {
			t.Errorf("Importable(%.80q) = %v", hash, err)
		}
		if hash == None {
			continue
		}
		if ok, _, err := h.Verify(t.Context(), "password", hash); ok || !errors.Is(err, ErrMalformed) {
			t.Errorf("%.80q: %v, %v", hash, ok, err)
		}
	}
}

// Hashes that take much memory wait for one another, whatever the number of slots; the others pass them by.
func TestOfHashesThatTakeMuchMemoryThereIsOneAtATime(t *testing.T) {
	h := New(Options{Slots: 4, Wait: time.Nanosecond})
	h.heavy <- struct{}{}
	const heavy = "$scrypt$ln=17,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$1idRgu6ns74sljt005o5BblTKV7Jul0HPGT6aXWnXKY"
	if _, _, err := h.Verify(t.Context(), "password", heavy); !errors.Is(err, ErrBusy) || len(h.slots) != 0 {
		t.Errorf("err = %v, %d slots held", err, len(h.slots))
	}
	if _, _, err := h.Verify(t.Context(), "password", "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"); err != nil {
		t.Error(err)
	}
}

func FuzzImportedHash(f *testing.F) {
	for hash := range elsewhere {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		err := Importable(hash)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if err == nil && (len(hash) > maxStored || hash == "" || hash == None) {
			t.Fatalf("%q", hash)
		}
	})
}
