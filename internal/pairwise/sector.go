package pairwise

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/strictjson"
)

// What can be wrong with what an application's sector is read from.
var (
	ErrNoHost   = errors.New("no host stands in the redirect URIs that could be the sector: sector_identifier_uri is needed")
	ErrHosts    = errors.New("the redirect URIs have several hosts: sector_identifier_uri is needed to say which sector they are")
	ErrDocument = errors.New("what stands there is not a JSON array of strings")
)

// Sector is the sector identifier of an application: the host of its sector_identifier_uri, else the one host of its redirect URIs.
func Sector(uri string, redirects []string) (string, error) {
	if uri != "" {
		redirects = []string{uri}
	}
	var sector string
	for _, address := range redirects {
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" {
			return "", ErrNoHost
		}
		host := strings.ToLower(u.Hostname())
		if sector != "" && sector != host {
			return "", ErrHosts
		}
		sector = host
	}
	if sector == "" {
		return "", ErrNoHost
	}
	return sector, nil
}

// CheckDocument checks what was found at a sector_identifier_uri: the redirect URIs of every application of the sector, of which none of this
// one's may be missing (OpenID Connect Dynamic Client Registration 1.0 §5).
func CheckDocument(document []byte, redirects []string) error {
	if strictjson.Check(document) != nil {
		return ErrDocument
	}
	var values []any
	if json.Unmarshal(document, &values) != nil || values == nil {
		return ErrDocument
	}
	listed := make([]string, len(values))
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			return ErrDocument
		}
		listed[i] = text
	}
	for _, address := range redirects {
		if !slices.Contains(listed, address) {
			return fmt.Errorf("the redirect URI %q is not in the array that stands there", address)
		}
	}
	return nil
}
