package people

import (
	"encoding/base32"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The key of RFC 6238 Appendix B, whose codes of eight digits end in these.
var rfcKey = []byte("12345678901234567890")

func TestTheCodesOfRFC6238AreTaken(t *testing.T) {
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		step, ok := stepOf(rfcKey, code, 0, time.Unix(at, 0))
		if !ok || step != at/totpStep {
			t.Errorf("%s at %d: step %d, %v", code, at, step, ok)
		}
	}
}

func TestACodeIsOfAFewStepsAndLaterThanTheLast(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	this := now.Unix() / totpStep
	code := func(step int64) string {
		text := base32.StdEncoding.EncodeToString(rfcKey)
		code, err := hotp.GenerateCodeCustom(text, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	for _, test := range []struct {
		step, last int64
		ok         bool
	}{
		{this, 0, true}, {this - 1, 0, true}, {this + 1, 0, true}, {this - 2, 0, false}, {this + 2, 0, false},
		{this, this - 1, true}, {this, this, false}, {this - 1, this, false}, {this + 1, this, true}, {this, this + 1, false},
	} {
		if step, ok := stepOf(rfcKey, code(test.step), test.last, now); ok != test.ok || ok && step != test.step {
			t.Errorf("%d after %d: %d, %v", test.step-this, test.last-this, step, ok)
		}
	}
}

func TestACodeIsReadAsPeopleWriteIt(t *testing.T) {
	for typed, want := range map[string]string{
		"123456": "123456", "123 456": "123456", " 12-34-56 ": "123456", "123\u00a0456": "123456", "000000": "000000",
		"": "", "12345": "", "1234567": "", "12345a": "", "１２３４５６": "", "٣٢١٤٥٦": "", "+123456": "", "123456\x00": "", strings.Repeat("1", 100): "",
	} {
		if got := digitsOf(typed); got != want {
			t.Errorf("%q is read as %q", typed, got)
		}
	}
	for typed, want := range map[string]string{
		"0123-4567-89AB-CDEF": "0123456789ABCDEF", "o123 4567 89ab cdef": "0123456789ABCDEF", "OIL3456789ABCDEF": "0113456789ABCDEF",
		"0123-4567-89AB-CDE": "", "0123-4567-89AB-CDEU": "", "": "", "0123-4567-89AB-CDEF-0": "", strings.Repeat("-", 100): "",
	} {
		if got := recoveryText(typed); got != want {
			t.Errorf("%q is read as %q", typed, got)
		}
	}
}

func TestANameOfAFactorIsFitToBeShown(t *testing.T) {
	for given, want := range map[string]string{
		"Phone": "Phone", "  Blue \t key\n": "Blue key", "": "otherwise", "\u202e\u200b": "otherwise", "a\x00b\u202ec": "abc", "a\xffb": "ab",
		strings.Repeat("é", 100): strings.Repeat("é", maxFactorName), "مفتاح": "مفتاح",
	} {
		if got := factorName(given, "otherwise"); got != want {
			t.Errorf("%q becomes %q", given, got)
		}
	}
}

// Whatever is typed, it is a code of six digits or nothing; and what is taken is the code of exactly one of the three steps.
func FuzzTOTP(f *testing.F) {
	for _, seed := range []string{"", "287082", " 287 082", "000000", "１２３４５６", "-1", "1e5", "\xff\xff\xff\xff\xff\xff"} {
		f.Add(seed, int64(59), int64(0))
	}
	f.Fuzz(func(t *testing.T, typed string, at, last int64) {
		if at < totpStep || at > 1<<40 {
			return
		}
		code := digitsOf(typed)
		if code != "" && (len(code) != factorDigits || strings.Trim(code, "0123456789") != "" || digitsOf(code) != code) {
			t.Fatalf("%q is read as %q", typed, code)
		}
		step, ok := stepOf(rfcKey, typed, last, time.Unix(at, 0))
		if !ok {
			return
		}
		want, err := hotp.GenerateCode(base32.StdEncoding.EncodeToString(rfcKey), uint64(step))
		if err != nil || want != code || step <= last || step < at/totpStep-totpDrift || step > at/totpStep+totpDrift {
			t.Fatalf("%q at %d after %d is taken for step %d, whose code is %q, %v", typed, at, last, step, want, err)
		}
	})
}

// Two codes that read the same are the same, and what is read is read again as itself.
func FuzzRecoveryCode(f *testing.F) {
	for _, seed := range []string{"", "0123-4567-89AB-CDEF", "OIL3456789ABCDEF", "ı123456789abcdef", "ſ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code := recoveryText(typed)
		if code == "" {
			return
		}
		if len(code) != recoveryLength || strings.Trim(code, recoveryAlphabet) != "" || recoveryText(code) != code || !utf8.ValidString(code) {
			t.Fatalf("%q is read as %q", typed, code)
		}
	})
}

// What a browser says of a passkey is read or refused, and nothing else.
func FuzzWebAuthnClientData(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "[]", "null", `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`,
		`{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"}}`,
		`{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YUA"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) > maxCredential {
			return
		}
		if parsed, err := protocol.ParseCredentialRequestResponseBytes(answer); err == nil && len(parsed.RawID) == 0 {
			t.Error("an assertion of no credential is read")
		}
		if parsed, err := protocol.ParseCredentialCreationResponseBytes(answer); err == nil && len(parsed.RawID) == 0 {
			t.Error("a credential without an id is read")
		}
	})
}
