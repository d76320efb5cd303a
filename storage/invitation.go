package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Invitation lets whoever reads the mail of an address make an account with it. Token is the digest of what the link holds.
type Invitation struct {
	ID    uuid.UUID `json:"-"`
	OrgID uuid.UUID `json:"-"`
	Token string    `json:"-"`
	// Email is the address as it is written; an invitation is bound to it.
	Email    string `json:"email"`
	FullName string `json:"full_name,omitempty"`
	// Inviter is what the one who invites is called; empty where nobody is named.
	Inviter string `json:"inviter,omitempty"`
	// Language is a BCP 47 tag, or empty.
	Language string `json:"language,omitempty"`
	// Roles are what the person will have. They are ids, so that another role of the same name is not meant.
	Roles     []uuid.UUID `json:"roles,omitempty"`
	ExpiresAt time.Time   `json:"-"`
	CreatedAt time.Time   `json:"-"`
}

// CreateInvitation inserts an invitation, in place of one that was made for the same address: canonical is its canonical form.
func (db *DB) CreateInvitation(ctx context.Context, canonical string, i *Invitation) error {
	data, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("create invitation: %w", err)
	}
	row := &VerificationToken{Subject: canonical, Token: i.Token, Type: InvitationToken, Data: data, ExpiresAt: i.ExpiresAt}
	if i.OrgID != uuid.Nil {
		row.OrgID = &i.OrgID
	}
	if err := db.CreateVerificationToken(ctx, row); err != nil {
		return err
	}
	i.ID, i.OrgID, i.CreatedAt = row.ID, *row.OrgID, row.CreatedAt
	return nil
}

// Invitation returns an invitation that can still be accepted.
func (db *DB) Invitation(ctx context.Context, digest string) (*Invitation, error) {
	row, err := db.VerificationToken(ctx, digest, InvitationToken)
	if err != nil {
		return nil, err
	}
	return row.invitation()
}

// InvitationOf returns the invitation that was sent to an address, in its canonical form, and can still be accepted.
func (db *DB) InvitationOf(ctx context.Context, canonical string) (*Invitation, error) {
	row, err := db.VerificationTokenOf(ctx, canonical, InvitationToken)
	if err != nil {
		return nil, err
	}
	return row.invitation()
}

func (v *VerificationToken) invitation() (*Invitation, error) {
	var i Invitation
	if err := json.Unmarshal(v.Data, &i); err != nil {
		return nil, fmt.Errorf("read invitation: %w", err)
	}
	i.ID, i.OrgID, i.Token, i.ExpiresAt, i.CreatedAt = v.ID, *v.OrgID, v.Token, v.ExpiresAt, v.CreatedAt
	return &i, nil
}

// ListInvitations returns the invitations that can still be accepted, in the order of their ids, those after the given one.
func (db *DB) ListInvitations(ctx context.Context, after uuid.UUID, limit int) ([]Invitation, error) {
	rows, err := db.VerificationTokens(ctx, InvitationToken, after, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Invitation, 0, len(rows))
	for _, row := range rows {
		i, err := row.invitation()
		if err != nil {
			return nil, err
		}
		all = append(all, *i)
	}
	return all, nil
}
