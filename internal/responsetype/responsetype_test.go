package responsetype_test

import (
	"slices"
	"testing"

	"github.com/keizer-auth/keizer/internal/responsetype"
)

func TestResponseTypesAreReadInAnyOrderAndWrittenInOne(t *testing.T) {
	for text, want := range map[string]string{
		"code": "code", "id_token": "id_token", "token id_token": "id_token token", "id_token token": "id_token token",
		"id_token code": "code id_token", "token code": "code token", "token id_token code": "code id_token token",
	} {
		kind, ok := responsetype.Parse(text)
		if !ok || kind.String() != want || !kind.In([]string{"x", want}) || kind.In([]string{"none"}) {
			t.Errorf("%q: %q, %t", text, kind, ok)
		}
		if kind.Direct() != (want != "code") {
			t.Errorf("%q: direct %t", text, kind.Direct())
		}
	}
	for _, text := range []string{"", " ", "token", "none", "Code", "code code", "code  id_token", " code", "code ", "code\tid_token", "code id_token token token", "id_token x"} {
		if kind, ok := responsetype.Parse(text); ok {
			t.Errorf("%q is taken for %q", text, kind)
		}
	}
	if all := responsetype.Supported(true); len(all) != 6 || !slices.Equal(responsetype.Supported(false), []string{"code"}) {
		t.Errorf("%q", all)
	}
}
