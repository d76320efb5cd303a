package fositestore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/storage"
)

// Unit is what one request at the authorization or token endpoint has read and wants written. fosite's handlers fill it
// through Store; Commit writes it.
type Unit struct {
	db *storage.DB

	// Client is the client of this request when it is already known; Store hands it to fosite instead of asking again.
	Client *Client
	// Address is where the request came from, for the audit.
	Address string
	// Reached are resources that the client may have tokens for in this request, besides those that its registration names. Reach
	// tells which of a grant's are, once that is read; without it none is.
	Reached []string
	Reach   func(ctx context.Context, client *Client, resources []string) ([]string, error)

	code *storage.Code // read once: fosite asks for it three times

	newCode      *storage.Code
	spendCode    string
	newGrant     *storage.Grant
	newAccess    *storage.AccessToken
	newRefresh   *storage.RefreshToken
	spendRefresh string

	presented    *storage.RefreshToken // the refresh token of this request
	replayed     bool
	narrowed     []string // of the code's audience, what the access token is for
	scope        []string // of the code's scope, what the access token is given; nil is all
	direct       []string // the scope of an access token that the authorization endpoint gives; nil is that it gives none
	replayWindow time.Duration

	fault error // of ending a family
}

// errNoUnit is a fault of the program: fosite asked for something to be written outside Begin and Commit.
var errNoUnit = errors.New("no unit of work in the context")

type unitKey struct{}

// Begin returns a context that carries a new Unit.
func (s *Store) Begin(ctx context.Context) (context.Context, *Unit) {
	unit := &Unit{db: s.db}
	return context.WithValue(ctx, unitKey{}, unit), unit
}

func unitFrom(ctx context.Context) (*Unit, error) {
	unit, _ := ctx.Value(unitKey{}).(*Unit)
	if unit == nil {
		return nil, errNoUnit
	}
	return unit, nil
}

// Code returns the authorization code row that the request named, nil when it named none that is known.
func (u *Unit) Code() *storage.Code { return u.code }

// AllowReplay lets a refresh token that was spent less than window ago be answered again. The caller has made sure that
// the client is authenticated: for anybody else a spent token is a stolen one (RFC 9700 §4.14.2).
func (u *Unit) AllowReplay(window time.Duration) { u.replayWindow = window }

// KeepsAnswer reports whether the answer of this request is to be stored for being given again.
func (u *Unit) KeepsAnswer() bool { return u.spendRefresh != "" && u.replayWindow > 0 }

// NarrowTo limits the access token of a code to some of the granted audience (RFC 8707 §2.2) and scope. The grant keeps it all.
func (u *Unit) NarrowTo(audience, scope []string) { u.narrowed, u.scope = audience, scope }

// GiveDirectly lets the authorization endpoint give an access token with a scope.
func (u *Unit) GiveDirectly(scope []string) { u.direct = append([]string{}, scope...) }

// GrantDirectly returns the scope of the access token that the authorization endpoint gives in this request.
func GrantDirectly(ctx context.Context) ([]string, error) {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil, err
	}
	if unit.direct == nil {
		return nil, errors.New("the authorization endpoint is to give no access token here")
	}
	return unit.direct, nil
}

// ReachedBy returns what a request may have tokens for besides what its client's registration names.
func ReachedBy(ctx context.Context) []string {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil
	}
	return unit.Reached
}

// Replayed returns the sealed answer of the exchange that spent this request's refresh token, when that exchange was so
// recent, and the client the same, that it is to be answered again.
func (u *Unit) Replayed() ([]byte, bool) {
	if !u.replayed {
		return nil, false
	}
	return u.presented.Answer, true
}

// BurnCode spends the code of a request that failed, whoever presented it: a code that was once shown with a wrong
// verifier, redirect URI or client has been seen by someone who should not have it.
func (u *Unit) BurnCode(ctx context.Context) error {
	if u.code == nil || u.code.UsedAt != nil {
		return nil
	}
	err := u.db.InTx(ctx, func(ctx context.Context) error {
		if err := u.db.SpendCode(ctx, u.code.Digest); err != nil {
			return err
		}
		return u.audit(ctx, "code.burnt", u.code.GrantID, u.code.ClientID)
	})
	if errors.Is(err, storage.ErrSpent) {
		return nil
	}
	return err
}

// Fault is what kept a family from being ended that had to end. fosite answers as if it had; the caller must not, for whoever
// hears of a refusal never brings again the token by which the family would end.
func (u *Unit) Fault() error { return u.fault }

// endFamily ends a grant whose code or refresh token came again (RFC 6749 §4.1.2, RFC 9700 §4.14.2), in a transaction of its
// own with the audit of it.
func (u *Unit) endFamily(ctx context.Context, grant uuid.UUID, owner string) error {
	u.fault = u.db.InTx(ctx, func(ctx context.Context) error {
		ended, err := u.db.RevokeGrant(ctx, grant)
		if err != nil || !ended {
			return err // of many who come again, one ends the family and has it written down
		}
		return u.audit(ctx, "grant.reuse_detected", grant, owner)
	})
	return u.fault
}

// audit writes down what this request has brought about. The actor is the client that sent it; owner is the client that the
// grant was made to.
func (u *Unit) audit(ctx context.Context, action string, grant uuid.UUID, owner string) error {
	event := &storage.AuditEvent{
		Actor: "anonymous", Action: action, Target: grant.String(), IPAddress: &u.Address, RequestID: requestid.From(ctx),
		Details: map[string]any{"client_id": owner},
	}
	if u.Client != nil {
		event.Actor = "client:" + u.Client.ClientID
	}
	return u.db.AppendAudit(ctx, event)
}

// RefreshAnswer is what Commit stores beside a spent refresh token, so that the same answer can be given again: already
// sealed (see SealAnswer), or nil.
type RefreshAnswer []byte

// Commit writes the unit in one transaction. It answers storage.ErrSpent when the code or the refresh token was spent by
// somebody else in the meantime; nothing is written then. Further deeds, such as spending an interaction, join the
// transaction through also.
func (u *Unit) Commit(ctx context.Context, answer RefreshAnswer, also ...func(context.Context) error) error {
	if u.statements() == 1 && len(also) == 0 {
		// One statement is its own transaction.
		return u.write(ctx, answer)
	}
	return u.db.InTx(ctx, func(ctx context.Context) error {
		if err := u.write(ctx, answer); err != nil {
			return err
		}
		for _, deed := range also {
			if err := deed(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (u *Unit) statements() (n int) {
	for _, there := range []bool{
		u.spendCode != "", u.spendRefresh != "", u.newCode != nil, u.newGrant != nil, u.newAccess != nil, u.newRefresh != nil,
	} {
		if there {
			n++
		}
	}
	return n
}

// write spends first: the row lock that the compare-and-set takes is what makes every other racer wait for our outcome.
func (u *Unit) write(ctx context.Context, answer RefreshAnswer) error {
	if u.spendCode != "" {
		if err := u.db.SpendCode(ctx, u.spendCode); err != nil {
			return err
		}
	}
	if u.spendRefresh != "" {
		if err := u.db.SpendRefreshToken(ctx, u.spendRefresh, answer); err != nil {
			return err
		}
	}
	if u.newCode != nil {
		if err := u.db.CreateCode(ctx, u.newCode); err != nil {
			return err
		}
	}
	if u.newGrant != nil {
		if err := u.db.CreateGrant(ctx, u.newGrant); err != nil {
			return err
		}
	}
	if u.newAccess != nil {
		if err := u.db.CreateAccessToken(ctx, u.newAccess); err != nil {
			return err
		}
	}
	if u.newRefresh != nil {
		if err := u.db.CreateRefreshToken(ctx, u.newRefresh); err != nil {
			return err
		}
	}
	return nil
}

// LostRace is called after Commit answered storage.ErrSpent: somebody else has spent the code or refresh token since it was
// read. A code that came twice ends its family. A refresh token is looked at again: within the replay window the answer of the
// winner is there to be given again (Replayed); otherwise its family ends, too.
func (u *Unit) LostRace(ctx context.Context) error {
	if u.spendCode != "" {
		return u.endFamily(ctx, u.code.GrantID, u.code.ClientID)
	}
	row, grant, err := u.db.RefreshToken(ctx, u.spendRefresh)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // the family has ended already
	}
	if err != nil {
		return err
	}
	u.presented = row
	if u.mayReplay(row) {
		u.replayed = true
		return nil
	}
	return u.endFamily(ctx, grant.ID, grant.ClientID)
}

// mayReplay reports whether a refresh token that is spent may be answered again. Time runs on this replica's clock and the
// row was stamped by another's: a stamp from the future counts as now.
func (u *Unit) mayReplay(row *storage.RefreshToken) bool {
	return row.SpentAt != nil && len(row.Answer) > 0 && u.Client != nil && row.ClientID == u.Client.ClientID &&
		time.Since(*row.SpentAt) < u.replayWindow
}

// CodeOf returns the authorization code row that this request named and Store has read.
func CodeOf(ctx context.Context) (*storage.Code, error) {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil, err
	}
	if unit.code == nil {
		return nil, errors.New("no authorization code has been read")
	}
	return unit.code, nil
}

// ClientOf returns the client that this request has authenticated as, nil before it has.
func ClientOf(ctx context.Context) *Client {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil
	}
	return unit.Client
}
