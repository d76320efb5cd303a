package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// protector signs what clients are given, and encrypts it to them, as they are registered: ID tokens, logout tokens, and the answers of
// userinfo and introspection.
type protector struct {
	keys    *keys.Keys
	clients *keys.ClientKeys
}

// protect writes claims as a JWT: signed, encrypted, or both, and then signed before it is encrypted (RFC 7519 §11.2). typ goes into the header
// of the signature.
func (p *protector) protect(ctx context.Context, client *fositestore.Client, how storage.Protection, typ string, claims any) (string, error) {
	if how.KeyAlg == "" {
		return p.keys.Sign(ctx, how.SigningAlg, typ, claims)
	}
	var payload []byte
	var contentType string
	if how.SigningAlg == "" {
		var err error
		if payload, err = json.Marshal(claims); err != nil {
			return "", fmt.Errorf("encode what is to be encrypted: %w", err)
		}
	} else {
		signed, err := p.keys.Sign(ctx, how.SigningAlg, typ, claims)
		if err != nil {
			return "", err
		}
		payload, contentType = []byte(signed), "JWT"
	}
	encrypted, err := p.clients.Encrypt(ctx, client.Client, how.KeyAlg, how.ContentAlg, contentType, payload)
	switch {
	case errors.Is(err, keys.ErrNoEncryptionKey):
		return "", errNotEncrypted.WithHintf("The answer is to be encrypted by %s, and none of the client's keys is for that.", how.KeyAlg).WithWrap(err)
	case errors.Is(err, keys.ErrClientKeysAway):
		return "", errClientKeysAway.WithWrap(err)
	}
	return encrypted, err
}

// What keeps an answer from being encrypted is for the client to mend. No specification has a code for it.
var (
	errNotEncrypted   = &fosite.RFC6749Error{ErrorField: "invalid_request", CodeField: http.StatusBadRequest}
	errClientKeysAway = &fosite.RFC6749Error{
		ErrorField: "temporarily_unavailable", CodeField: http.StatusServiceUnavailable,
		DescriptionField: "The answer is to be encrypted, and the client's keys cannot be fetched from its jwks_uri. Try again in a minute.",
	}
)
