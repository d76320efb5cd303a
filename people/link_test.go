package people

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/storage"
)

func TestALinkIsSealedAnewUnderTheCurrentMasterKey(t *testing.T) {
	before, after := seal.NewKey(), seal.NewKey()
	under := func(keys ...string) *People {
		ring, err := seal.Parse(keys[0], keys[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		return &People{keyring: ring}
	}
	old, err := under(before).seal("digest", pending{Email: "alice@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	both := under(after, before)
	anew, err := both.sealAnew("digest", old)
	if err != nil {
		t.Fatal(err)
	}
	var data pending
	if err := under(after).unseal(&storage.VerificationToken{Token: "digest", Data: anew}, &data); err != nil || data.Email != "alice@example.com" {
		t.Errorf("%+v, %v", data, err)
	}
	for name, left := range map[string][]byte{"sealed anew already": anew, "not sealed": []byte(`{"email":"x"}`), "nothing": nil, "no JSON": []byte("x")} {
		if again, err := both.sealAnew("digest", left); again != nil || err != nil {
			t.Errorf("%s: %s, %v", name, again, err)
		}
	}
	if again, err := both.sealAnew("another's", old); !errors.Is(err, seal.ErrOpen) || again != nil {
		t.Errorf("of another link: %s, %v", again, err)
	}
	if !json.Valid(anew) {
		t.Errorf("%s", anew)
	}
}
