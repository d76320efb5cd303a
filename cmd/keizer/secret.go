package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// secret is `keizer secret`.
func (p *program) secret() *cobra.Command {
	return group("secret", "Secrets of this installation", p.secretGenerate(), p.secretRotateMaster())
}

func (p *program) secretGenerate() *cobra.Command {
	return &cobra.Command{
		Use: "generate", Short: "Make a master key, for KEIZER_MASTER_KEY or the file that KEIZER_MASTER_KEY_FILE names", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			if p.output == "json" {
				return p.json(map[string]string{"master_key": seal.NewKey()})
			}
			_, err := fmt.Fprintln(p.stdout, seal.NewKey())
			return err
		},
	}
}

// resealed is what was sealed anew in one column, as it is shown.
type resealed struct {
	Column     string `json:"column"`
	SealedAnew int64  `json:"sealed_anew"`
	Unopened   int64  `json:"unopened"`
}

func (r resealed) cells() []string {
	return []string{r.Column, strconv.FormatInt(r.SealedAnew, 10), strconv.FormatInt(r.Unopened, 10)}
}

func (p *program) secretRotateMaster() *cobra.Command {
	return &cobra.Command{
		Use: "rotate-master", Short: "Seal everything anew under the master key in use, so that older ones are needed no more", Args: takes(),
		Long: "Seal everything in the database anew under master_key, whatever is sealed under one of master_key_old: signing keys, secrets and tokens of\n" +
			"providers, passkeys, authenticator apps, keys of the audit, mail and links. First let every replica have the new key as master_key and the one\n" +
			"before in master_key_old; `keizer secret generate` makes one. The server goes on meanwhile, and what was interrupted is taken up again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				if root := house.Cfg.RootOrganization; root != "" {
					if org, err := house.Managed(ctx, root); err == nil {
						ctx = tenant.With(ctx, org)
					}
				}
				all, err := house.Operators.SealAnew(ctx, house.Keyring.KeyID(), house.People.Reseal)
				if err != nil {
					return fmt.Errorf("%w; what was done is done, and the command may be repeated", err)
				}
				return p.showResealed(all)
			})
		},
	}
}

func (p *program) showResealed(all []storage.Resealed) error {
	shown, stuck := make([]resealed, len(all)), int64(0)
	for i, one := range all {
		shown[i] = resealed{one.Column, one.Done, one.Stuck}
		if stuck += one.Stuck; one.First != nil {
			fmt.Fprintf(p.stderr, "keizer: %s\n", printable(one.First.Error()))
		}
	}
	if err := list(p, []string{"WHAT", "SEALED ANEW", "NOT OPENED"}, once(shown)); err != nil {
		return err
	}
	if stuck > 0 {
		return failed(fmt.Errorf("%d values open under no master key of the configuration, and were left as they are: "+
			"add the key that they need to master_key_old", stuck))
	}
	return nil
}
