package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func ring(t testing.TB, keys ...string) *Keyring {
	t.Helper()
	if len(keys) == 0 {
		keys = []string{NewKey()}
	}
	k, err := Parse(keys[0], keys[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensOnlyForItsPurposeAndPlace(t *testing.T) {
	k := ring(t)
	sealed, err := k.Seal("signing key", []byte("private"), "org-1", "row-1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open("signing key", sealed, "org-1", "row-1"); err != nil || string(got) != "private" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	other := ring(t)
	for name, open := range map[string]func() ([]byte, error){
		"another purpose":      func() ([]byte, error) { return k.Open("upstream", sealed, "org-1", "row-1") },
		"another organization": func() ([]byte, error) { return k.Open("signing key", sealed, "org-2", "row-1") },
		"another row":          func() ([]byte, error) { return k.Open("signing key", sealed, "org-1", "row-2") },
		"the parts joined":     func() ([]byte, error) { return k.Open("signing key", sealed, "org-1row-1") },
		"the parts shifted":    func() ([]byte, error) { return k.Open("signing key", sealed, "org-", "1row-1") },
		"a part more":          func() ([]byte, error) { return k.Open("signing key", sealed, "org-1", "row-1", "") },
		"a part less":          func() ([]byte, error) { return k.Open("signing key", sealed, "org-1") },
		"no associated data":   func() ([]byte, error) { return k.Open("signing key", sealed) },
		"another master key":   func() ([]byte, error) { return other.Open("signing key", sealed, "org-1", "row-1") },
		"nothing":              func() ([]byte, error) { return k.Open("signing key", nil, "org-1", "row-1") },
	} {
		if got, err := open(); !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: Open = %q, %v; want ErrOpen", name, got, err)
		}
	}
}

func TestTheSamePlaintextNeverSealsTheSameWay(t *testing.T) {
	k := ring(t)
	seen := make(map[string]bool)
	for range 1000 {
		sealed, err := k.Seal("p", []byte("same"))
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(sealed)] || bytes.Contains(sealed, []byte("same")) {
			t.Fatal("repeated or readable")
		}
		seen[string(sealed)] = true
	}
}

func TestAnOlderKeyStillOpensAndVerifiesButNoLongerSeals(t *testing.T) {
	before, after := NewKey(), NewKey()
	old := ring(t, before)
	sealed, err := old.Seal("p", []byte("text"), "row")
	if err != nil {
		t.Fatal(err)
	}
	mac := old.MAC("csrf", "session")

	now := ring(t, after, before)
	if got, err := now.Open("p", sealed, "row"); err != nil || string(got) != "text" {
		t.Errorf("Open = %q, %v", got, err)
	}
	if !now.VerifyMAC("csrf", mac, "session") {
		t.Error("the MAC of the older key is refused")
	}
	if now.MAC("csrf", "session") == mac || now.KeyID() == old.KeyID() {
		t.Error("the older key is still in use")
	}
	again, err := now.Seal("p", []byte("text"), "row")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open("p", again, "row"); !errors.Is(err, ErrOpen) {
		t.Errorf("sealed by the older key: %v", err)
	}
}

func TestAMACIsBoundToPurposeAndParts(t *testing.T) {
	k := ring(t)
	mac := k.MAC("csrf", "a", "b")
	if !k.VerifyMAC("csrf", mac, "a", "b") {
		t.Fatal("its own MAC is refused")
	}
	for _, bad := range []bool{
		k.VerifyMAC("other", mac, "a", "b"), k.VerifyMAC("csrf", mac, "ab"), k.VerifyMAC("csrf", mac, "a", "b", ""),
		k.VerifyMAC("csrf", mac, "b", "a"), k.VerifyMAC("csrf", mac+"A", "a", "b"), k.VerifyMAC("csrf", mac+"=", "a", "b"), k.VerifyMAC("csrf", mac+"\n", "a", "b"),
		k.VerifyMAC("csrf", "", "a", "b"), k.VerifyMAC("csrf", mac[:42], "a", "b"), ring(t).VerifyMAC("csrf", mac, "a", "b"),
	} {
		if bad {
			t.Error("a wrong MAC passes")
		}
	}
}

func TestAMasterKeyIsReadInEveryCommonForm(t *testing.T) {
	text := NewKey()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 32 {
		t.Fatalf("NewKey gave %d bytes, %v", len(raw), err)
	}
	want := ring(t, text).KeyID()
	for _, form := range []string{
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw),
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), text + "\n", " " + text + "\r\n",
	} {
		if got := ring(t, form).KeyID(); got != want {
			t.Errorf("another key from %d characters", len(form))
		}
	}
}

func TestAWeakMasterKeyIsRefused(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	counted := make([]byte, 32)
	for i := range counted {
		counted[i] = byte(i * 7)
	}
	for name, c := range map[string]struct {
		key  string
		want error
	}{
		"empty":             {"", ErrEmptyKey},
		"blank":             {" \n", ErrEmptyKey},
		"short":             {b64([]byte("short")), ErrKeyForm},
		"31 bytes":          {b64(make([]byte, 31)), ErrKeyForm},
		"33 bytes":          {b64(make([]byte, 33)), ErrKeyForm},
		"not base64":        {strings.Repeat("!", 43), ErrKeyForm},
		"changeme":          {"changeme", ErrKeyForm},
		"zeroes":            {b64(make([]byte, 32)), ErrWeakKey},
		"one byte repeated": {b64(bytes.Repeat([]byte{0xa7}, 32)), ErrWeakKey},
		"a pattern":         {strings.Repeat("0123456789abcdef", 4), ErrWeakKey},
		"counted":           {b64(counted), ErrWeakKey},
		"hex of f":          {strings.Repeat("f", 64), ErrWeakKey},
		"a sentence":        {b64([]byte("Correct Horse, battery staple 42")), ErrPhraseKey},
	} {
		if _, err := Parse(c.key); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
		if _, err := Parse(NewKey(), c.key); !errors.Is(err, c.want) {
			t.Errorf("%s as an old key: %v; want %v", name, err, c.want)
		}
	}
	for range 10_000 {
		if _, err := Parse(NewKey()); err != nil {
			t.Fatalf("a random key is refused: %v", err)
		}
	}
}

func TestAKeyringPrintsNoKey(t *testing.T) {
	text := NewKey()
	k := ring(t, text)
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	out := fmt.Sprintf("%v %+v %#v %s", k, k, k, k)
	if want := strings.Repeat("keyring "+k.KeyID()+" ", 4); out+" " != want {
		t.Errorf("printed %q", out)
	}
	if strings.Contains(out, hex.EncodeToString(raw[:4])) || strings.Contains(out, fmt.Sprint(raw[:4])) {
		t.Errorf("the key escaped: %s", out)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("plain"), "org", "row", uint(0), byte(1))
	f.Add([]byte{}, "", "", uint(77), byte(0x80))
	k := ring(f)
	f.Fuzz(func(t *testing.T, plaintext []byte, a, b string, at uint, flip byte) {
		sealed, err := k.Seal("p", plaintext, a, b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Open("p", sealed, a, b)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("round trip: %q, %v", got, err)
		}
		if flip != 0 {
			altered := slices.Clone(sealed)
			altered[at%uint(len(altered))] ^= flip
			if _, err := k.Open("p", altered, a, b); !errors.Is(err, ErrOpen) {
				t.Fatalf("altered at %d: %v", at, err)
			}
		}
		if _, err := k.Open("p", sealed[:at%uint(len(sealed))], a, b); !errors.Is(err, ErrOpen) {
			t.Fatalf("cut: %v", err)
		}
		for _, aad := range [][]string{{a + "x", b}, {a, b + "x"}, {a + b}, {a, b, ""}, {a}, {"x", a, b}} {
			if _, err := k.Open("p", sealed, aad...); !errors.Is(err, ErrOpen) {
				t.Fatalf("associated data %q: %v", aad, err)
			}
		}
		if a != b {
			if _, err := k.Open("p", sealed, b, a); !errors.Is(err, ErrOpen) {
				t.Fatalf("swapped: %v", err)
			}
		}
		if _, err := k.Open("p", plaintext, a, b); !errors.Is(err, ErrOpen) {
			t.Fatalf("junk opens: %v", err)
		}
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	k := ring(b)
	for b.Loop() {
		sealed, _ := k.Seal("p", make([]byte, 512), "org", "row")
		if _, err := k.Open("p", sealed, "org", "row"); err != nil {
			b.Fatal(err)
		}
	}
}
