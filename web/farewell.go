package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// sealFarewell is the purpose under which the address of the last page carries what is to be loaded there.
	sealFarewell = "farewell"
	// farewellLife is how long that may take to arrive.
	farewellLife = 2 * time.Minute
	// paramFarewell carries it.
	paramFarewell = "farewell"
)

// farewell is what is left to be done by the browser in which a session has ended.
type farewell struct {
	Frames []string  `json:"frames"`
	Then   string    `json:"then,omitempty"`
	Until  time.Time `json:"until"`
}

// farewells are the addresses at which applications want to hear of the end of a session from its browser (OpenID Connect Front-Channel
// Logout 1.0 §2), with who says so and which session it is.
func (s *Sessions) farewells(ctx context.Context, org *tenant.Org, session *storage.Session) (frames []string, err error) {
	clients, err := s.db.ClientsOfSession(ctx, session.ID)
	if err != nil {
		return nil, err
	}
	for i := range clients {
		address := clients[i].FrontChannelLogoutURI()
		if address == "" {
			continue
		}
		separator := "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		frames = append(frames, address+separator+url.Values{"iss": {org.Issuer}, "sid": {session.ID.String()}}.Encode())
	}
	return frames, nil
}

// LoggedOutAddress is that of the page on which a sign-out ends. frames are what the browser loads there, and then is where it goes from
// there; either may be empty. Nobody but us can put anything into it: what stands there is a registered address.
func (s *Sessions) LoggedOutAddress(org *tenant.Org, frames []string, then string) (string, error) {
	address := org.BasePath + "/logged-out"
	if len(frames) == 0 && then == "" {
		return address, nil
	}
	plain, err := json.Marshal(farewell{frames, then, time.Now().Add(farewellLife)})
	if err != nil {
		return "", fmt.Errorf("write a farewell: %w", err)
	}
	sealed, err := s.keyring.Seal(sealFarewell, plain, org.ID.String())
	if err != nil {
		return "", fmt.Errorf("seal a farewell: %w", err)
	}
	return address + "?" + url.Values{paramFarewell: {base64.RawURLEncoding.EncodeToString(sealed)}}.Encode(), nil
}

// LoggedOut is what the page shows on which a sign-out ends. An address that is not ours, or is old, leads to the bare page.
func (s *Sessions) LoggedOut(org *tenant.Org, query url.Values) LoggedOutPage {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(query.Get(paramFarewell))
	if err != nil || len(sealed) == 0 {
		return LoggedOutPage{}
	}
	plain, err := s.keyring.Open(sealFarewell, sealed, org.ID.String())
	if err != nil {
		return LoggedOutPage{}
	}
	var f farewell
	if json.Unmarshal(plain, &f) != nil || time.Now().After(f.Until) {
		return LoggedOutPage{}
	}
	return LoggedOutPage{Frames: f.Frames, then: f.Then}
}
