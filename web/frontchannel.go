package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// sealFrontChannel is the purpose under which the address of the last page carries what is to be loaded there.
	sealFrontChannel = "frontchannel"
	// frontChannelLife is how long that may take to arrive.
	frontChannelLife = 2 * time.Minute
	// paramFrontChannel carries it.
	paramFrontChannel = "frontchannel"
)

// frontChannel is what is left to be done by the browser in which a session has ended.
type frontChannel struct {
	Frames []string  `json:"frames"`
	Then   string    `json:"then,omitempty"`
	Until  time.Time `json:"until"`
}

// logoutFrames are the addresses at which applications want to hear of the end of a session from its browser (OpenID Connect Front-Channel
// Logout 1.0 §2), with who says so and which session it is.
func (s *Sessions) logoutFrames(ctx context.Context, org *tenant.Org, session *storage.Session) (frames []string, err error) {
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
		sid := session.ID.String()
		if sector := clients[i].Sector(); sector != "" {
			salt, err := s.db.PairwiseSalt(ctx)
			if err != nil {
				return nil, err
			}
			sid = salt.Session(sector, sid)
		}
		frames = append(frames, address+separator+url.Values{"iss": {org.Issuer}, "sid": {sid}}.Encode())
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
	plain, err := json.Marshal(frontChannel{frames, then, time.Now().Add(frontChannelLife)})
	if err != nil {
		return "", fmt.Errorf("write a front-channel logout: %w", err)
	}
	sealed, err := s.keyring.Seal(sealFrontChannel, plain, org.ID.String())
	if err != nil {
		return "", fmt.Errorf("seal a front-channel logout: %w", err)
	}
	return address + "?" + url.Values{paramFrontChannel: {base64.RawURLEncoding.EncodeToString(sealed)}}.Encode(), nil
}

// LoggedOut is what the page shows on which a sign-out ends. An address that is not ours, or is old, leads to the bare page.
func (s *Sessions) LoggedOut(org *tenant.Org, query url.Values) LoggedOutPage {
	sealed, err := base64url.Decode(query.Get(paramFrontChannel))
	if err != nil || len(sealed) == 0 {
		return LoggedOutPage{}
	}
	plain, err := s.keyring.Open(sealFrontChannel, sealed, org.ID.String())
	if err != nil {
		return LoggedOutPage{}
	}
	var f frontChannel
	if json.Unmarshal(plain, &f) != nil || time.Now().After(f.Until) {
		return LoggedOutPage{}
	}
	return LoggedOutPage{Frames: f.Frames, then: f.Then}
}
