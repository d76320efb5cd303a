package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/server"
)

// setupLink is `keizer setup-link`: the address at which the first operator is made.
func (p *program) setupLink() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup-link",
		Short: "Make a link at which the first operator can be made",
		Long:  "Make a link at which the first operator can be made. It works once, within 24 hours; links that were made before end.",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				link, err := house.Operators.NewSetupLink(ctx, house.Cfg.Base())
				if err != nil {
					return err
				}
				if p.output == "json" {
					return p.json(map[string]string{"setup_link": link})
				}
				_, err = fmt.Fprintln(p.stdout, link)
				return err
			})
		},
	}
	configFlags(cmd.Flags(), "listen", "issuer")
	return cmd
}
