package people

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// Profile is what a person says of themselves; what is empty is not said. Its fields are those of the form, by the names in
// profileClaims and profileAddress.
type Profile struct {
	Username, FullName string
	// Claims are standard claims (OpenID Connect Core 1.0 §5.1) that are texts, Address the parts of the postal address.
	Claims, Address map[string]string
}

// profileClaims are the claims that people write themselves.
var profileClaims = []string{
	"given_name", "family_name", "nickname", "birthdate", "zoneinfo", "locale", "phone_number", "picture", "website",
}

// profileAddress are the parts of an address that people write. Their organization may have it as one text besides, which holds
// no longer when a part changes.
var profileAddress = []string{"street_address", "postal_code", "locality", "region", "country"}

// ProfileFields are the names of what is in a profile, besides user name and full name.
func ProfileFields() (claims, address []string) {
	return slices.Clone(profileClaims), slices.Clone(profileAddress)
}

// ProfileOf is what stands in a person's account.
func ProfileOf(user *storage.User) Profile {
	told := Profile{Claims: make(map[string]string), Address: make(map[string]string)}
	if user.Username != nil {
		told.Username = *user.Username
	}
	if user.FullName != nil {
		told.FullName = *user.FullName
	}
	for _, name := range profileClaims {
		told.Claims[name], _ = user.Metadata[name].(string)
	}
	address, _ := user.Metadata["address"].(map[string]any)
	for _, name := range profileAddress {
		told.Address[name], _ = address[name].(string)
	}
	return told
}

// check says what is wrong with each field. It changes what has a form of its own.
func (p Profile) check(org *tenant.Org) error {
	var wrong []error
	invalid := func(field, message string) { wrong = append(wrong, &Invalid{field, message}) }
	needed := org.Decided().SignUp.Fields
	if p.Username == "" {
		if needed["username"] == "required" {
			invalid("username", "account.profile.needed")
		}
	} else if _, err := identity.Username(p.Username); err != nil {
		invalid("username", "account.profile.username_form")
	}
	if p.FullName == "" && needed["name"] == "required" {
		invalid("name", "account.profile.needed")
	}
	names := map[string]string{"name": p.FullName}
	for _, claim := range []string{"given_name", "family_name", "nickname"} {
		names[claim] = p.Claims[claim]
	}
	maps.Copy(names, p.Address)
	for field, text := range names {
		if text == "" {
			continue
		}
		if err := profile.Name(text); err != nil {
			invalid(field, nameProblem(err))
		}
	}
	zone := func(text string) bool { _, ok := profile.Zone(text); return ok }
	link := func(text string) bool { return profile.Link(text) == nil }
	for _, claim := range []struct {
		name, problem string
		ok            func(string) bool
	}{
		{"birthdate", "account.profile.birthdate_form", profile.Birthdate},
		{"zoneinfo", "account.profile.zoneinfo_form", zone},
		{"locale", "account.profile.locale_form", profile.Locale},
		{"picture", "account.profile.link_form", link},
		{"website", "account.profile.link_form", link},
	} {
		if text := p.Claims[claim.name]; text != "" && !claim.ok(text) {
			invalid(claim.name, claim.problem)
		}
	}
	if text := p.Claims["phone_number"]; text != "" {
		number, ok := profile.Phone(text)
		if !ok {
			invalid("phone_number", "account.profile.phone_number_form")
		}
		p.Claims["phone_number"] = number
	}
	return errors.Join(wrong...)
}

// nameProblem is the text of what is wrong with a name.
func nameProblem(err error) string {
	if errors.Is(err, profile.ErrLong) {
		return "account.profile.too_long"
	}
	return "account.profile.characters"
}

// trimmed is the profile as it was meant: nobody means a space at either end.
func (p Profile) trimmed() Profile {
	meant := Profile{Username: strings.TrimSpace(p.Username), FullName: strings.TrimSpace(p.FullName),
		Claims: make(map[string]string), Address: make(map[string]string)}
	for _, name := range profileClaims {
		meant.Claims[name] = strings.TrimSpace(p.Claims[name])
	}
	for _, name := range profileAddress {
		meant.Address[name] = strings.TrimSpace(p.Address[name])
	}
	return meant
}

// into writes the profile into a row, and returns which of its fields are changed by it.
func (p Profile) into(user *storage.User) (changed []string) {
	before := ProfileOf(user)
	user.Username, user.FullName = orNil(p.Username), orNil(p.FullName)
	if p.Username != before.Username {
		changed = append(changed, "username")
	}
	if p.FullName != before.FullName {
		changed = append(changed, "name")
	}
	metadata := maps.Clone(user.Metadata)
	if metadata == nil {
		metadata = make(map[string]any)
	}
	for _, name := range profileClaims {
		if p.Claims[name] == before.Claims[name] {
			continue
		}
		changed = append(changed, name)
		if metadata[name] = p.Claims[name]; p.Claims[name] == "" {
			delete(metadata, name)
		}
		if name == "phone_number" {
			delete(metadata, "phone_number_verified") // it was said of the other one
		}
	}
	if !maps.Equal(p.Address, before.Address) {
		changed = append(changed, "address")
		address := make(map[string]any)
		for name, text := range p.Address {
			if text != "" {
				address[name] = text
			}
		}
		if metadata["address"] = address; len(address) == 0 {
			delete(metadata, "address")
		}
	}
	user.Metadata = metadata
	return changed
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// ChangeProfile writes what a person says of themselves. What is wrong with it, and that a user name is taken in whatever
// spelling, is Invalid.
func (p *People) ChangeProfile(ctx context.Context, who visitor.Visitor, userID uuid.UUID, wanted Profile) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	wanted = wanted.trimmed()
	if err := wanted.check(org); err != nil {
		return err
	}
	if err := p.countName(ctx, who, userID, wanted.Username); err != nil {
		return err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, userID)
		if err != nil {
			return err
		}
		before := user.Audited()
		changed := wanted.into(user)
		if len(changed) == 0 {
			return nil
		}
		if len(profile.Metadata(user.Metadata)) > 0 {
			// Each field is as it should be, so that it is all of them together, with what the organization keeps there.
			return &Invalid{"", "account.profile.too_much"}
		}
		if err := p.db.UpdateProfile(ctx, user); err != nil {
			return err
		}
		details := map[string]any{"changed": changed}
		maps.Copy(details, storage.Changes(before, user.Audited()))
		return p.audit(ctx, who, byUser(userID), "user.profile_changed", userID.String(), details)
	})
	if errors.Is(err, storage.ErrConflict) {
		return &Invalid{"username", "account.profile.username_taken"}
	}
	if err != nil {
		return fmt.Errorf("change profile: %w", err)
	}
	return nil
}

// countName counts that a person asks for a user name that is not a spelling of their own.
func (p *People) countName(ctx context.Context, who visitor.Visitor, userID uuid.UUID, wanted string) error {
	user, err := p.db.User(ctx, userID)
	if err != nil {
		return fmt.Errorf("change profile: %w", err)
	}
	name, err := identity.Username(wanted)
	if wanted == "" || err != nil || user.UsernameCanonical != nil && *user.UsernameCanonical == name {
		return nil //nolint:nilerr // what is none is refused elsewhere
	}
	return p.take(ctx, who, throttle.NamesPerson, userID.String(), byUser(userID), userID.String())
}
