package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// signingKey is a signing key as it is shown.
type signingKey struct {
	KID         string     `json:"kid"`
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
	return signingKey{row.KID, row.Alg, status, row.ActivatesAt.UTC(), row.RetiresAt, row.ExpiresAt, row.CreatedAt.UTC()}
}

func (k signingKey) cells() []string {
	return []string{k.KID, k.Alg, k.Status, date(&k.ActivatesAt), date(k.RetiresAt), date(k.ExpiresAt)}
}

var keyHeadings = []string{"KID", "ALG", "STATUS", "SIGNS FROM", "SIGNS UNTIL", "PUBLISHED UNTIL"}

// key is `keizer key`.
func (p *program) key() *cobra.Command {
	return orgFlag(group("key", "The keys that an organization signs tokens with", p.keyList(), p.keyRotate()))
}

func (p *program) keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys that are published", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
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
		Use: "rotate", Short: "Replace the keys that sign", Args: takes(),
		Long: "Replace the keys that sign. A new key is published first and signs ten minutes later, when everybody who verifies has seen it;\n" +
			"the old one stays published until the last token that it signed has expired. With --now the new key signs at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, alg := range algs {
				if !slices.Contains(keys.Algorithms(), alg) {
					return usage("--alg: %q is not one of %s", alg, strings.Join(keys.Algorithms(), ", "))
				}
			}
			if len(algs) == 0 {
				algs = keys.Algorithms()
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				var made []string
				for _, alg := range algs {
					kid, err := house.Operators.RotateKey(ctx, alg, now, longestToken(house.Cfg))
					if err != nil {
						return err
					}
					made = append(made, kid)
				}
				return p.listKeys(ctx, house, made)
			})
		},
	}
	cmd.Flags().StringArrayVar(&algs, "alg", nil, "RS256, ES256 or EdDSA; may be repeated (default: all)")
	cmd.Flags().BoolVar(&now, "now", false, "sign with the new key at once, though not everybody may know it yet")
	return cmd
}

// longestToken is the life of the longest-lived token that a key may have signed.
func longestToken(cfg *config.Config) time.Duration {
	return max(cfg.Tokens.AccessJWTLifetime, cfg.Tokens.IDLifetime)
}

// listKeys lists the organization's keys, or those of them that are named.
func (p *program) listKeys(ctx context.Context, house *server.House, kids []string) error {
	rows, err := house.DB.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	var shown []signingKey
	for _, row := range rows {
		if kids == nil || slices.Contains(kids, row.KID) {
			shown = append(shown, signingKeyOf(row, time.Now()))
		}
	}
	return list(p, keyHeadings, once(shown))
}
