package admin

import (
	"context"
	"net/http"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/storage"
)

// Factors is how many there are of whatever a person proves who they are with besides a password.
type Factors struct {
	Passkeys       int `json:"passkeys"`
	Authenticators int `json:"authenticators"`
	RecoveryCodes  int `json:"recovery_codes" doc:"Those that were not used yet."`
}

func factorsOf(counts storage.FactorCounts) Factors {
	return Factors{counts.Passkeys, counts.Authenticators, counts.RecoveryCodes}
}

// mountFactors are /organizations/{org}/users/{user}/factors.
func (a *API) mountFactors() {
	type readIn struct {
		OfUser
		Reading
	}
	register(a, operation{
		id: "get-user-factors", method: http.MethodGet, path: userPath + "/factors", summary: "Count the factors of a person", permission: permission.UsersRead,
	}, func(ctx context.Context, in *readIn) (*one[Factors], error) {
		user, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		counts, err := a.db.FactorCounts(ctx, user.ID)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, factorsOf(counts))
	})

	register(a, operation{
		id: "reset-user-factors", method: http.MethodDelete, path: userPath + "/factors", summary: "Take every factor from a person",
		description: "For one who has lost them: passkeys, authenticator apps and recovery codes go, and their sessions end. They are told so by mail. " +
			"The answer is what there was.",
		permission: permission.UsersWrite,
	}, func(ctx context.Context, in *OfUser) (*one[Factors], error) {
		id, err := storage.ParseID(in.User)
		if err != nil {
			return nil, err
		}
		had, err := a.operators.ResetFactors(ctx, id)
		if err != nil {
			return nil, err
		}
		return &one[Factors]{Status: http.StatusOK, Body: factorsOf(had)}, nil
	})
}
