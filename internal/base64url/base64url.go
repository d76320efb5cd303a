package base64url

import (
	"encoding/base64"
	"errors"
	"strings"
)

var errForm = errors.New("it is not base64url")

// Decode reads base64url without padding. No two texts are read as the same bytes: the unused bits of the last character are zero, and there
// are no line breaks, which the decoder of the standard library passes over.
func Decode(text string) ([]byte, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, errForm
	}
	return data, nil
}
