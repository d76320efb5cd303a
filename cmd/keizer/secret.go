package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/seal"
)

// secret is `keizer secret`.
func (p *program) secret() *cobra.Command {
	return group("secret", "Secrets of this installation", p.secretGenerate())
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
