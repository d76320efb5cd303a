package mergepatch_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/keizer-auth/keizer/internal/mergepatch"
)

// RFC 7396, appendix A, as far as it is about objects.
func TestAPatchIsMergedAsItsSpecificationSays(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`}, {`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`}, {`{"a":"foo"}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
	} {
		var target, patch, want map[string]any
		if err := errors.Join(json.Unmarshal([]byte(c.target), &target), json.Unmarshal([]byte(c.patch), &patch), json.Unmarshal([]byte(c.want), &want)); err != nil {
			t.Fatal(err)
		}
		before, err := json.Marshal(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := mergepatch.Apply(target, patch); !reflect.DeepEqual(got, want) {
			t.Errorf("%s with %s is %v", c.target, c.patch, got)
		}
		if after, _ := json.Marshal(target); string(after) != string(before) {
			t.Errorf("%s was changed", c.target)
		}
	}
}
