package provider

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/keizer-auth/keizer/storage/fositestore"
)

// A token that no header and no endpoint takes would be worth nothing: what does not fit into it is not promised.
func TestAJWTSaysNoMoreOfSomebodysRightsThanItHasRoomFor(t *testing.T) {
	scopes := []string{"openid", "roles", "permissions", "read"}
	names := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("resource-%03d:write", i)
		}
		return all
	}
	for _, test := range []struct {
		held *rights
		want []string
	}{
		{&rights{}, scopes},
		{&rights{names(3), names(80)}, scopes},
		{&rights{names(3), names(100)}, []string{"openid", "roles", "read"}},
		{&rights{names(60), names(80)}, []string{"openid", "permissions", "read"}},
		{&rights{names(1000), names(1000)}, []string{"openid", "read"}},
	} {
		left := test.held.fitting(scopes)
		if !slices.Equal(left, test.want) {
			t.Errorf("%d roles and %d permissions: %v", len(test.held.roles), len(test.held.permissions), left)
		}
		said, err := json.Marshal(test.held.saidBy(left))
		if err != nil {
			t.Fatal(err)
		}
		if len(said) > 5<<10 {
			t.Errorf("%d roles and %d permissions: %d bytes", len(test.held.roles), len(test.held.permissions), len(said))
		}
	}
	if !slices.Equal(scopes, []string{"openid", "roles", "permissions", "read"}) {
		t.Errorf("what was asked for was changed: %v", scopes)
	}
	if said, err := json.Marshal((&rights{[]string{}, []string{}}).saidBy([]string{"roles"})); err != nil || string(said) != `{"roles":[]}` {
		t.Errorf("%s, %v", said, err)
	}
	if said, err := json.Marshal(fositestore.Rights{}); err != nil || string(said) != `{}` {
		t.Errorf("%s, %v", said, err)
	}
}
