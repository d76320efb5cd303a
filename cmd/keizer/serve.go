package main

import (
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/server"
)

// serve is `keizer serve`: the server itself, until a signal ends it.
func (p *program) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Run the server until SIGINT or SIGTERM.\n\nWithout an issuer it is in development: on this machine only, on SQLite, with everything made\n" +
			"that is missing. An issuer makes it production, where whatever is missing or unsafe keeps it from starting.",
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load(cmd)
			if err != nil {
				return err
			}
			if err := server.Run(cmd.Context(), cfg, p.newLog(cfg.Log.Format, logLevel(cfg.Log.Level)), p.stdout); err != nil {
				return notOpened(err)
			}
			return nil
		},
	}
	configFlags(cmd.Flags(), "listen", "issuer", "tls-cert-file", "tls-key-file", "root-organization", "no-migrate", "log-level", "log-format")
	return cmd
}
