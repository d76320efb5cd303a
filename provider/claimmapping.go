package provider

import (
	"encoding/json"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/storage"
)

// maxMapped is how much of what is mapped has room in a token, in bytes; maxSaid is how long the claims of an access token may be with it. A
// token travels in headers and addresses.
const (
	maxMapped = 2 << 10
	maxSaid   = 11 << 9
)

// mapped adds what mappings make of a person to what is said of them already, each as long as there is room for it; less than 0 is no bound.
func mapped(claims map[string]any, mappings []claimmap.Mapping, user *storage.User, held *rights, room int) {
	for _, m := range mappings {
		value := valueOf(m, user, held)
		if !claimmap.Fits(m.Claim, value) {
			continue
		}
		if room >= 0 {
			encoded, err := json.Marshal(map[string]any{m.Claim: value})
			if err != nil || len(encoded) > room {
				continue
			}
			room -= len(encoded)
		}
		claims[m.Claim] = value
	}
}

// valueOf is what a mapping makes of a person; nil where there is nothing to say.
func valueOf(m claimmap.Mapping, user *storage.User, held *rights) any {
	text := func(value *string) any {
		if value == nil {
			return nil
		}
		return *value
	}
	switch m.From {
	case "":
		return m.Value
	case claimmap.Username:
		return text(user.Username)
	case claimmap.Email:
		return user.Email
	case claimmap.EmailVerified:
		return user.IsVerified
	case claimmap.Name:
		return text(user.FullName)
	case claimmap.CreatedAt:
		return user.CreatedAt.Unix()
	case claimmap.Roles:
		return held.roles
	case claimmap.Permissions:
		return held.permissions
	}
	path, _ := m.Path()
	var found any = user.Metadata
	for _, name := range path {
		below, ok := found.(map[string]any)
		if !ok {
			return nil
		}
		found = below[name]
	}
	return found
}

// needRights reports whether mappings are made of what people are and may do.
func needRights(mappings []claimmap.Mapping) bool {
	for _, m := range mappings {
		if m.From == claimmap.Roles || m.From == claimmap.Permissions {
			return true
		}
	}
	return false
}
