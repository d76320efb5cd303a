package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

const (
	// JWKSMaxAge is for how long a JWK Set may be remembered by those who verify.
	JWKSMaxAge = 300 * time.Second

	// publishAhead is how long before it signs a key is published: whoever remembered the set before knows the key by then.
	publishAhead = 2 * JWKSMaxAge

	// keepAfter is for how much longer than the longest token a key is published that no longer signs.
	keepAfter = 10 * time.Minute

	// RotateAfter is how long a key signs before DueForRotation names it.
	RotateAfter = 90 * 24 * time.Hour
)

// ErrUnknownKey says that the organization has no such key, or that it is revoked already.
var ErrUnknownKey = errors.New("no such signing key")

// A Set is one new key for every common algorithm. Making one takes a good part of a second, which is better spent before a
// transaction than in it.
type Set struct{ materials []*material }

// Generate makes a set.
func Generate() (*Set, error) {
	set := &Set{}
	for _, alg := range CommonAlgorithms() {
		m, err := generate(alg)
		if err != nil {
			return nil, err
		}
		set.materials = append(set.materials, m)
	}
	return set, nil
}

// Insert gives the set to the organization of ctx, to sign with at once.
func (s *Set) Insert(ctx context.Context, db *storage.DB) error {
	now := time.Now()
	return db.InTx(ctx, func(ctx context.Context) error {
		for _, m := range s.materials {
			if err := m.insert(ctx, db, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// Create is Generate and Insert, for those who have the time to do both in one transaction.
func Create(ctx context.Context, db *storage.DB) error {
	set, err := Generate()
	if err != nil {
		return err
	}
	return set.Insert(ctx, db)
}

func (m *material) insert(ctx context.Context, db *storage.DB, activates time.Time) error {
	private, err := m.privateJWK()
	if err != nil {
		return fmt.Errorf("write private key: %w", err)
	}
	row := &storage.SigningKey{KID: m.kid, Alg: m.alg, PrivateJWK: private, PublicJWK: m.jwk, ActivatesAt: activates.UTC()}
	if err := db.CreateSigningKey(ctx, row); err != nil {
		return fmt.Errorf("create signing key: %w", err)
	}
	return nil
}

// A Rotation replaces the key that an organization signs with. It is planned before the transaction that it is applied in:
// the plan holds the new key and the names of those that it found, and only these it retires. So of two who rotate at once
// the second finds that there is nothing left to retire, and the organization has one new key.
type Rotation struct {
	next         *material
	replaced     []storage.SigningKey
	pending      string // the kid of a key that is on its way already
	activates    time.Time
	longestToken time.Duration
}

// PlanRotation plans to replace the organization's key for alg. The new key signs at once if now is true; else it is
// published first, for as long as a JWK Set may be remembered. longestToken is the life of the longest-lived token that the old
// key may have signed. If a rotation is under way, the plan is to wait for it, unless now.
func PlanRotation(ctx context.Context, db *storage.DB, alg string, now bool, longestToken time.Duration) (*Rotation, error) {
	if !contains(KeyAlgorithms(), alg) {
		return nil, fmt.Errorf("%w: %q", ErrAlgorithm, alg)
	}
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	at := time.Now()
	r := &Rotation{activates: at, longestToken: longestToken}
	if !now {
		r.activates = at.Add(publishAhead)
	}
	for _, row := range rows {
		if row.Alg != alg || row.RetiresAt != nil {
			continue
		}
		if !now && row.ActivatesAt.After(at) {
			r.pending = row.KID
			return r, nil
		}
		r.replaced = append(r.replaced, row)
	}
	if len(r.replaced) == 0 && UseOf(alg) == "enc" {
		// Whether anything may be encrypted to it is the organization's to decide, not for whoever rotates.
		return nil, fmt.Errorf("%w for %q", ErrNoKey, alg)
	}
	r.next, err = generate(alg)
	return r, err
}

// Apply rotates, in the transaction of ctx if there is one. It returns the key that will sign, and whether this call brought
// it: if not, somebody else has rotated since the plan was made, or was about to, and nothing was changed.
func (r *Rotation) Apply(ctx context.Context, db *storage.DB) (kid string, rotated bool, err error) {
	if r.pending != "" {
		return r.pending, false, nil
	}
	err = db.InTx(ctx, func(ctx context.Context) error {
		kid, rotated = r.next.kid, true
		for _, row := range r.replaced {
			err := db.RetireSigningKey(ctx, row.ID, r.activates.UTC(), r.activates.Add(r.longestToken+keepAfter).UTC())
			if errors.Is(err, storage.ErrSpent) {
				kid, err = newest(ctx, db, r.next.alg)
				rotated = false
				return err
			}
			if err != nil {
				return fmt.Errorf("retire signing key: %w", err)
			}
		}
		return r.next.insert(ctx, db, r.activates)
	})
	if err != nil {
		return "", false, err
	}
	return kid, rotated, nil
}

// Rotate plans a rotation and applies it. It returns the key that signs from now on, or will.
func Rotate(ctx context.Context, db *storage.DB, alg string, now bool, longestToken time.Duration) (kid string, err error) {
	plan, err := PlanRotation(ctx, db, alg, now, longestToken)
	if err != nil {
		return "", err
	}
	kid, _, err = plan.Apply(ctx, db)
	return kid, err
}

// newest is the key for alg that nobody has retired yet.
func newest(ctx context.Context, db *storage.DB, alg string) (kid string, err error) {
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return "", fmt.Errorf("load signing keys: %w", err)
	}
	var found *storage.SigningKey
	for i, row := range rows {
		if row.Alg == alg && row.RetiresAt == nil && (found == nil || row.ActivatesAt.After(found.ActivatesAt)) {
			found = &rows[i]
		}
	}
	if found == nil {
		return "", fmt.Errorf("%w for %q", ErrNoKey, alg)
	}
	return found.KID, nil
}

// Ensure sees to it that the organization has a key for alg, in the transaction of ctx. It returns the kid of a key that was made for
// that, and nothing if there is one already. Of two who ensure at once each may make one.
func Ensure(ctx context.Context, db *storage.DB, alg string) (made string, err error) {
	if contains(CommonAlgorithms(), alg) {
		return "", nil
	}
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return "", fmt.Errorf("load signing keys: %w", err)
	}
	if newRing(rows, nil, time.Now()).active(alg, time.Now()) != nil {
		return "", nil
	}
	m, err := generate(alg)
	if err != nil {
		return "", err
	}
	return m.kid, m.insert(ctx, db, time.Now())
}

// DueForRotation returns the algorithms whose key has signed for RotateAfter, or of which there is none that would go on.
func DueForRotation(ctx context.Context, db *storage.DB) ([]string, error) {
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	now := time.Now()
	var due []string
	for _, alg := range KeyAlgorithms() {
		fresh := slices.ContainsFunc(rows, func(row storage.SigningKey) bool {
			return row.Alg == alg && row.RetiresAt == nil && now.Sub(row.ActivatesAt) < RotateAfter
		})
		used := contains(CommonAlgorithms(), alg) || slices.ContainsFunc(rows, func(row storage.SigningKey) bool { return row.Alg == alg })
		if used && !fresh {
			due = append(due, alg)
		}
	}
	return due, nil
}

// A Revocation ends a key whose private part may be known to others: it signs nothing more, is not published, and nothing
// that it signed is believed any longer. Like a rotation it is planned before the transaction, and brings a new key if the
// organization would be left without one.
type Revocation struct {
	kid   string
	spare *material
}

// PlanRevocation plans to revoke a key of the organization, also one that has long been rotated out, or returns
// ErrUnknownKey.
func PlanRevocation(ctx context.Context, db *storage.DB, kid string) (*Revocation, error) {
	row, err := db.SigningKey(ctx, kid)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrUnknownKey
	}
	if err != nil {
		return nil, fmt.Errorf("load signing key: %w", err)
	}
	spare, err := generate(row.Alg)
	return &Revocation{kid: kid, spare: spare}, err
}

// Apply revokes, in the transaction of ctx if there is one.
func (r *Revocation) Apply(ctx context.Context, db *storage.DB) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		if err := db.RevokeSigningKey(ctx, r.kid); errors.Is(err, storage.ErrNotFound) {
			return ErrUnknownKey
		} else if err != nil {
			return fmt.Errorf("revoke signing key: %w", err)
		}
		rows, err := db.SigningKeys(ctx)
		if err != nil {
			return fmt.Errorf("load signing keys: %w", err)
		}
		now := time.Now()
		var signs, goesOn bool
		activates := now
		for _, row := range rows {
			if row.Alg != r.spare.alg {
				continue
			}
			goesOn = goesOn || row.RetiresAt == nil
			if row.ActivatesAt.After(now) || (row.RetiresAt != nil && !row.RetiresAt.After(now)) {
				continue
			}
			signs = true
			if row.RetiresAt != nil && row.RetiresAt.After(activates) {
				activates = *row.RetiresAt // the revoked one would have followed it then
			}
		}
		switch {
		case signs && goesOn:
			return nil
		case signs:
			return r.spare.insert(ctx, db, activates)
		default:
			return r.spare.insert(ctx, db, now)
		}
	})
}

// Revoke plans a revocation and applies it.
func Revoke(ctx context.Context, db *storage.DB, kid string) error {
	plan, err := PlanRevocation(ctx, db, kid)
	if err != nil {
		return err
	}
	return plan.Apply(ctx, db)
}
