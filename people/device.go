package people

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/useragent"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// deviceLifetime is how long a browser is known since its person last signed in there.
const deviceLifetime = 90 * 24 * time.Hour

const (
	// maxDevices is how many browsers a person is known with: those that they have used last.
	maxDevices = 50
	// newDeviceLetters is of how many new browsers they are told within newDeviceEvery. Who signs in without end, and always as
	// somebody new, fills no mailbox; each sign-in stands in the audit all the same.
	newDeviceLetters = 5
	newDeviceEvery   = time.Hour
)

// RememberDevice makes a browser known as one that a person has signed in with. It is called in the transaction of a complete
// sign-in, with what the browser brought (which may be nothing), and before the time of the sign-in is recorded. It returns what
// the browser is known by from now on. Who has signed in before and comes from a browser that they are not known with is told
// by mail.
//
// A browser that is new to the person gets a new secret, and takes along whoever else it is known for: what somebody may have
// put there before is worth nothing to them afterwards.
func (p *People) RememberDevice(ctx context.Context, who visitor.Visitor, user *storage.User, token string) (string, error) {
	until := time.Now().Add(deviceLifetime)
	known, err := p.device(ctx, user.ID, token)
	if err != nil {
		return "", err
	}
	if known != nil {
		err := p.db.SeeDevice(ctx, known.ID, who.Agent, until)
		if err == nil {
			return token, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return "", fmt.Errorf("remember device: %w", err)
		}
		// It was forgotten this moment, and is new again.
	}
	fresh := secret.New(secret.Device)
	if token != "" {
		if err := p.db.MoveDevices(ctx, secret.Digest(token), secret.Digest(fresh)); err != nil {
			return "", fmt.Errorf("remember device: %w", err)
		}
	}
	err = p.db.CreateDevice(ctx, &storage.Device{UserID: user.ID, Token: secret.Digest(fresh), UserAgent: who.Agent, ExpiresAt: until})
	if err != nil {
		return "", fmt.Errorf("remember device: %w", err)
	}
	lately, err := p.thinOut(ctx, user.ID)
	if err != nil {
		return "", fmt.Errorf("remember device: %w", err)
	}
	if user.LastLogin == nil {
		return fresh, nil
	}
	if err := p.audit(ctx, who, byUser(user.ID), "device.added", user.ID.String(), nil); err != nil {
		return "", err
	}
	if lately > newDeviceLetters {
		return fresh, nil
	}
	letter := mail.Letter{
		Kind: mail.NewDevice, Agent: useragent.Readable(who.Agent), Place: who.Address, When: time.Now().UTC().Format("2006-01-02 15:04 UTC"),
	}
	if err := p.post(ctx, user, letter); err != nil {
		return "", fmt.Errorf("tell of a new device: %w", err)
	}
	return fresh, nil
}

// thinOut forgets the browsers of a person that are too many, and returns how many have become known lately.
func (p *People) thinOut(ctx context.Context, userID uuid.UUID) (lately int, err error) {
	devices, err := p.db.DevicesOf(ctx, userID)
	if err != nil {
		return 0, err
	}
	for i, device := range devices {
		if time.Since(device.CreatedAt) < newDeviceEvery {
			lately++
		}
		if i < maxDevices {
			continue
		}
		if err := p.db.ForgetDevice(ctx, userID, device.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return 0, err
		}
	}
	return lately, nil
}

// device returns the browser that a person is known with, or nil.
func (p *People) device(ctx context.Context, userID uuid.UUID, token string) (*storage.Device, error) {
	if !secret.Valid(secret.Device, token) {
		return nil, nil //nolint:nilnil // a stranger is no error
	}
	device, err := p.db.Device(ctx, secret.Digest(token), userID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, fmt.Errorf("look up device: %w", err)
	}
	return device, nil
}

// DeviceKnown reports whether a person has signed in with a browser before.
func (p *People) DeviceKnown(ctx context.Context, userID uuid.UUID, token string) (bool, error) {
	device, err := p.device(ctx, userID, token)
	return device != nil, err
}

// DeviceTrusted reports whether a person need not give a second factor with a browser.
func (p *People) DeviceTrusted(ctx context.Context, userID uuid.UUID, token string) (bool, error) {
	device, err := p.device(ctx, userID, token)
	return device != nil && device.Trusted(time.Now()), err
}

// TrustDevice lets a person leave out the second factor with a browser until a time. It is called after RememberDevice, in the
// same transaction, with what that has returned.
func (p *People) TrustDevice(ctx context.Context, who visitor.Visitor, userID uuid.UUID, token string, until time.Time) error {
	device, err := p.device(ctx, userID, token)
	if err != nil {
		return err
	}
	if device == nil {
		return fmt.Errorf("trust device: %w", storage.ErrNotFound)
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.db.TrustDevice(ctx, device.ID, &until); err != nil {
			return fmt.Errorf("trust device: %w", err)
		}
		return p.audit(ctx, who, byUser(userID), "device.trusted", userID.String(), map[string]any{"until": until.UTC().Format(time.RFC3339)})
	})
}

// Devices returns the browsers that a person is known with, the last used first.
func (p *People) Devices(ctx context.Context, userID uuid.UUID) ([]storage.Device, error) {
	return p.db.DevicesOf(ctx, userID)
}

// ForgetDevice makes a browser a stranger to a person: it is counted as one, tells of itself when it comes again, and is asked
// for a second factor.
func (p *People) ForgetDevice(ctx context.Context, who visitor.Visitor, userID, id uuid.UUID) error {
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.db.ForgetDevice(ctx, userID, id); err != nil {
			return fmt.Errorf("forget device: %w", err)
		}
		return p.audit(ctx, who, byUser(userID), "device.forgotten", userID.String(), map[string]any{"device": id.String()})
	})
}
