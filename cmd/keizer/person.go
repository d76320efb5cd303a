package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
) *cobra.Command {
	return &cobra.Command{
		Use: use + " USER", Short: short, Args: takes("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
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
		})
}

func (p *program) userEnable() *cobra.Command {
	return p.onUser("enable", "Switch a person on again; what has ended stays ended",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			row, err := house.Operators.EnableUser(ctx, user.ID)
			if err != nil {
				return err
			}
			return p.showPerson(ctx, house, org, row)
		})
}

func (p *program) userDelete() *cobra.Command {
	var yes bool
	cmd := p.onUser("delete", "Delete a person and all that is theirs, for good",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			if err := house.Operators.DeleteUser(ctx, user.ID); err != nil {
				return err
			}
			return p.show(map[string]any{"id": user.ID.String(), "organization": org.Slug, "deleted": true}, field{"deleted", user.ID.String()})
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

func (p *program) userResetMFA() *cobra.Command {
	return p.onUser("reset-mfa", "Take away a person's passkeys, authenticator apps and recovery codes, and end their sessions",
		func(ctx context.Context, house *server.House, org *tenant.Org, user *storage.User) error {
			had, err := house.Operators.ResetFactors(ctx, user.ID)
			if err != nil {
				return err
			}
			removed := map[string]any{
				"id": user.ID.String(), "organization": org.Slug, "passkeys": had.Passkeys, "authenticators": had.Authenticators, "recovery_codes": had.RecoveryCodes,
			}
			return p.show(removed, field{"id", user.ID.String()}, field{"passkeys", strconv.Itoa(had.Passkeys)},
				field{"authenticator apps", strconv.Itoa(had.Authenticators)}, field{"recovery codes", strconv.Itoa(had.RecoveryCodes)},
				field{"", fmt.Sprintf("were taken away from %s", user.DisplayName())})
		})
}
