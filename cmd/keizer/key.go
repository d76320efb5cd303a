package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// signingKey is a signing key as it is shown.
type signingKey struct {
	KID         string     `json:"kid"`
	Use         string     `json:"use"`
	Alg         string     `json:"alg"`
	Status      string     `json:"status"`
	ActivatesAt time.Time  `json:"activates_at"`
	RetiresAt   *time.Time `json:"retires_at,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
}

func signingKeyOf(row storage.SigningKey, now time.Time) signingKey {
	status := "active"
	switch {
	case row.ActivatesAt.After(now):
		status = "pending" // published, so that everybody knows it when it begins to sign
	case row.RetiresAt != nil && !row.RetiresAt.After(now):
		status = "retired" // published, until the last token that it signed is gone
	}
	return signingKey{row.KID, keys.UseOf(row.Alg), row.Alg, status, row.ActivatesAt.UTC(), row.RetiresAt, row.ExpiresAt, row.CreatedAt.UTC()}
}

func (k signingKey) cells() []string {
	return []string{k.KID, k.Use, k.Alg, k.Status, date(&k.ActivatesAt), date(k.RetiresAt), date(k.ExpiresAt)}
}

var keyHeadings = []string{"KID", "USE", "ALG", "STATUS", "FROM", "UNTIL", "KEPT UNTIL"}

// key is `keizer key`.
func (p *program) key() *cobra.Command {
	return orgFlag(group("key", "The keys that an organization signs tokens and decrypts requests with", p.keyList(), p.keyRotate(), p.keyRetire()))
}

func (p *program) keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys that are published", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error { return r.listKeys(ctx, nil) })
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				return p.listKeys(ctx, house, nil)
			})
		},
	}
}

func (p *program) keyRotate() *cobra.Command {
	var algs []string
	var now bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Replace the keys that sign", Args: takes(), Annotations: eitherWay,
		Long: "Replace the keys that sign. A new key is published first and signs ten minutes later, when everybody who verifies has seen it;\n" +
			"the old one stays published until the last token that it signed has expired. With --now the new key signs at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, alg := range algs {
				if !slices.Contains(keys.KeyAlgorithms(), alg) {
					return usage("--alg: %q is not one of %s", alg, strings.Join(keys.KeyAlgorithms(), ", "))
				}
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					if len(algs) == 0 {
						all, err := r.keys(ctx)
						if err != nil {
							return err
						}
						algs = algorithmsOf(all)
					}
					var made []string
					for _, alg := range algs {
						var key signingKey
						if err := r.post(ctx, map[string]any{"alg": alg, "now": now}, &key, r.in("keys")...); err != nil {
							return err
						}
						made = append(made, key.KID)
					}
					return r.listKeys(ctx, made)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				if len(algs) == 0 {
					all, err := keysOf(ctx, house)
					if err != nil {
						return err
					}
					algs = algorithmsOf(all)
				}
				var made []string
				for _, alg := range algs {
					kid, err := house.Operators.RotateKey(ctx, alg, now, house.Cfg.LongestToken())
					if err != nil {
						return err
					}
					made = append(made, kid)
				}
				return p.listKeys(ctx, house, made)
			})
		},
	}
	cmd.Flags().StringArrayVar(&algs, "alg", nil, "RS256, PS256, ES256, EdDSA, RSA-OAEP-256 or ECDH-ES; may be repeated (default: all that there are keys for)")
	cmd.Flags().BoolVar(&now, "now", false, "sign with the new key at once, though not everybody may know it yet")
	return cmd
}

func (p *program) keyRetire() *cobra.Command {
	var sure bool
	cmd := &cobra.Command{
		Use: "retire KID", Short: "Take a key out of use at once, with all that it has signed", Args: takes("KID"), Annotations: eitherWay,
		Long: "Take a key out of use at once. It is for a key that others may have: nothing that it has signed is believed any longer, and if it is one\n" +
			"that signs, a new one takes its place. `keizer key rotate` replaces a key without anybody noticing.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !sure {
				return usage("whatever the key has signed is good for nothing from then on: say so with --yes")
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return p.showRetired(r.org, args[0], r.remove(ctx, nil, r.in("keys", args[0])...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				return p.showRetired(org, args[0], house.Operators.RevokeKey(ctx, args[0]))
			})
		},
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "retire it, for good")
	return cmd
}

func (p *program) showRetired(org *tenant.Org, kid string, err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, keys.ErrUnknownKey) {
		return notFound("organization %q has no key %q that is published", org.Slug, kid)
	}
	if err != nil {
		return err
	}
	return p.show(map[string]any{"kid": kid, "organization": org.Slug, "retired": true}, field{"retired", kid})
}

// listKeys lists the organization's keys, or those of them that are named.
func (p *program) listKeys(ctx context.Context, house *server.House, kids []string) error {
	all, err := keysOf(ctx, house)
	if err != nil {
		return err
	}
	return p.showKeys(all, kids)
}

func (r *remote) listKeys(ctx context.Context, kids []string) error {
	all, err := r.keys(ctx)
	if err != nil {
		return err
	}
	return r.p.showKeys(all, kids)
}

func keysOf(ctx context.Context, house *server.House) ([]signingKey, error) {
	rows, err := house.DB.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	all := make([]signingKey, len(rows))
	for i, row := range rows {
		all[i] = signingKeyOf(row, time.Now())
	}
	return all, nil
}

func (r *remote) keys(ctx context.Context) ([]signingKey, error) {
	return unpaged[signingKey](ctx, r, nil, r.in("keys")...)
}

// algorithmsOf are those that an organization with these keys has keys for: the common ones, and whatever else there is one for.
func algorithmsOf(all []signingKey) []string {
	return slices.DeleteFunc(keys.KeyAlgorithms(), func(alg string) bool {
		return !slices.Contains(keys.CommonAlgorithms(), alg) && !slices.ContainsFunc(all, func(k signingKey) bool { return k.Alg == alg })
	})
}

// showKeys lists keys, or those of them that are named.
func (p *program) showKeys(all []signingKey, kids []string) error {
	return list(p, keyHeadings, once(slices.DeleteFunc(all, func(k signingKey) bool { return kids != nil && !slices.Contains(kids, k.KID) })))
}
