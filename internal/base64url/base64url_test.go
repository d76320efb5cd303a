package base64url

import (
	"encoding/base64"
	"testing"
)

func TestNoTwoTextsAreTheSameBytes(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "YQ": true, "YWI": true, "_-8A": true,
		"YR": false, "YQ==": false, "YQ\n": false, "\rYQ": false, "Y\r\nQ": false, "Y Q": false, "+/8A": false, "Y": false, "é": false,
	} {
		if data, err := Decode(text); (err == nil) != ok || ok && base64.RawURLEncoding.EncodeToString(data) != text {
			t.Errorf("%q: %q, %v", text, data, err)
		}
	}
}
