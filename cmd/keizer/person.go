package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// onUser is a command about one person, whom the argument names by user name, e-mail address or id.
func (p *program) onUser(
	use, short string, do func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error,
	there func(ctx context.Context, r *remote, user *person) error,
) *cobra.Command {
	return &cobra.Command{
		Use: use + " USER", Short: short, Args: takes("USER"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					user, err := r.user(ctx, args[0])
					if err != nil {
						return noUser(err, r.org, args[0])
					}
					return p.unlessGone(there(ctx, r, user), r.org, args[0])
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				user, err := findUser(ctx, house.DB, args[0])
				if err != nil {
					return noUser(err, org, args[0])
				}
				return p.unlessGone(do(ctx, house, org, user), org, args[0])
			})
		},
	}
}

// unlessGone says of somebody who was deleted meanwhile that they do not exist.
func (p *program) unlessGone(err error, org *tenant.Org, login string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return noUser(err, org, login)
	}
	return err
}

func (p *program) userUpdate() *cobra.Command {
	var email, username, name, metadata string
	var verified bool
	var patch manage.UserPatch
	cmd := p.onUser("update", "Change a person's addresses and names", func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
		row, err := house.Operators.UpdateUser(ctx, user.ID, patch)
		if err != nil {
			return err
		}
		return p.showPerson(ctx, house, org, row)
	}, func(ctx context.Context, r *remote, user *person) error {
		changed := map[string]any{}
		for name, value := range map[string]*string{"email": patch.Email, "username": patch.Username, "full_name": patch.FullName} {
			if value != nil {
				changed[name] = *value
			}
		}
		if patch.Verified != nil {
			changed["is_verified"] = *patch.Verified
		}
		path := r.in("users", user.ID)
		change := call{method: http.MethodPatch, path: path, body: changed}
		if patch.Metadata != nil { // in place of what there is, at the moment that it is replaced
			tag, err := r.do(ctx, call{method: http.MethodGet, path: path}, user)
			if err != nil {
				return err
			}
			changed["metadata"], change.match = replacing(user.Metadata, *patch.Metadata), tag
		}
		var shown person
		if _, err := r.do(ctx, change, &shown); err != nil {
			return err
		}
		return r.showPerson(ctx, shown)
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		flags := cmd.Flags()
		for _, text := range []struct {
			flag  string
			value *string
			field **string
		}{{"email", &email, &patch.Email}, {"username", &username, &patch.Username}, {"name", &name, &patch.FullName}} {
			if flags.Changed(text.flag) {
				*text.field = text.value
			}
		}
		if flags.Changed("verified") {
			patch.Verified = &verified
		}
		if metadata != "" {
			claims, err := p.readObject(metadata)
			if err != nil {
				return err
			}
			patch.Metadata = &claims
		}
		if patch == (manage.UserPatch{}) {
			return usage("%s needs --email, --username, --name, --verified or --metadata", cmd.CommandPath())
		}
		return run(cmd, args)
	}
	flags := cmd.Flags()
	flags.StringVar(&email, "email", "", "e-mail address; another one counts as unproven, unless --verified is given")
	flags.StringVar(&username, "username", "", `user name; "" takes it away`)
	flags.StringVar(&name, "name", "", `full name; "" takes it away`)
	flags.BoolVar(&verified, "verified", false, "the e-mail address is known to be theirs; --verified=false says that it is not")
	flags.StringVar(&metadata, "metadata", "", "file with a JSON object of claims, in place of those there are, or - for standard input")
	return cmd
}

// replacing is the merge patch (RFC 7396) that makes one object of another.
func replacing(before, after map[string]any) map[string]any {
	patch := make(map[string]any, len(after))
	for name := range before {
		patch[name] = nil
	}
	for name, value := range after {
		old, both := before[name].(map[string]any)
		if object, ok := value.(map[string]any); ok && both {
			value = replacing(old, object)
		}
		patch[name] = value
	}
	return patch
}

// readObject reads a file that holds one JSON object.
func (p *program) readObject(name string) (map[string]any, error) {
	text, err := p.readFile(name)
	if err != nil {
		return nil, err
	}
	object := make(map[string]any)
	if _, err := strictjson.Object(text); err != nil {
		return nil, usage("%s: %w", name, err)
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, usage("%s: %w", name, strictjson.ErrSyntax)
	}
	return object, nil
}

func (p *program) userDisable() *cobra.Command {
	return p.onUser("disable", "Switch a person off, which ends their sessions and tokens",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			row, err := house.Operators.DisableUser(ctx, user.ID)
			if err != nil {
				return err
			}
			return p.showPerson(ctx, house, org, row)
		}, switchThere("disable"))
}

func (p *program) userEnable() *cobra.Command {
	return p.onUser("enable", "Switch a person on again; what has ended stays ended",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			row, err := house.Operators.EnableUser(ctx, user.ID)
			if err != nil {
				return err
			}
			return p.showPerson(ctx, house, org, row)
		}, switchThere("enable"))
}

func switchThere(deed string) func(context.Context, *remote, *person) error {
	return func(ctx context.Context, r *remote, user *person) error {
		var shown person
		if err := r.post(ctx, nil, &shown, r.in("users", user.ID, deed)...); err != nil {
			return err
		}
		return r.showPerson(ctx, shown)
	}
}

func (p *program) userDelete() *cobra.Command {
	var yes bool
	cmd := p.onUser("delete", "Delete a person and all that is theirs, for good",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			if err := house.Operators.DeleteUser(ctx, user.ID); err != nil {
				return err
			}
			return p.showDeleted(org, user.ID.String())
		}, func(ctx context.Context, r *remote, user *person) error {
			if err := r.remove(ctx, nil, r.in("users", user.ID)...); err != nil {
				return err
			}
			return p.showDeleted(r.org, user.ID)
		})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return usage("a person who is deleted does not come back: say so with --yes")
		}
		return run(cmd, args)
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete, for good")
	return cmd
}

func (p *program) showDeleted(org *tenant.Org, id string) error {
	return p.show(map[string]any{"id": id, "organization": org.Slug, "deleted": true}, field{"deleted", id})
}

func (p *program) userResetMFA() *cobra.Command {
	return p.onUser("reset-mfa", "Take away a person's passkeys, authenticator apps and recovery codes, and end their sessions",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			had, err := house.Operators.ResetFactors(ctx, user.ID)
			if err != nil {
				return err
			}
			return p.showReset(factorsShown{user.ID.String(), org.Slug, had.Passkeys, had.Authenticators, had.RecoveryCodes}, user.DisplayName())
		}, func(ctx context.Context, r *remote, user *person) error {
			had := factorsShown{ID: user.ID, Organization: r.org.Slug}
			if err := r.remove(ctx, &had, r.in("users", user.ID, "factors")...); err != nil {
				return err
			}
			return p.showReset(had, cmp.Or(user.Username, user.Email))
		})
}

// factorsShown is what was taken away from a person.
type factorsShown struct {
	ID             string `json:"id"`
	Organization   string `json:"organization"`
	Passkeys       int    `json:"passkeys"`
	Authenticators int    `json:"authenticators"`
	RecoveryCodes  int    `json:"recovery_codes"`
}

func (p *program) showReset(had factorsShown, name string) error {
	return p.show(had, field{"id", had.ID}, field{"passkeys", strconv.Itoa(had.Passkeys)},
		field{"authenticator apps", strconv.Itoa(had.Authenticators)}, field{"recovery codes", strconv.Itoa(had.RecoveryCodes)},
		field{"", fmt.Sprintf("were taken away from %s", name)})
}
