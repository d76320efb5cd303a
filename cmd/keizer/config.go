package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/config"
)

// config is `keizer config`.
func (p *program) config() *cobra.Command {
	cmd := group("config", "How this process would be configured", p.configShow(), p.configValidate(), p.configReference())
	configFlags(cmd.PersistentFlags(), "listen", "issuer", "root-organization", "no-migrate", "log-level", "log-format")
	return cmd
}

type configRow config.Value

func (r configRow) cells() []string { return []string{r.Name, r.Value, r.Source} }

func (p *program) configShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show every value, and where it comes from", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(p.sources(cmd)) // not validated: what is shown may be what is wrong
			if err != nil {
				return wrong(err)
			}
			var rows []configRow
			for _, value := range cfg.Values() {
				rows = append(rows, configRow(value))
			}
			return list(p, []string{"KEY", "VALUE", "SOURCE"}, once(rows))
		},
	}
}

func (p *program) configValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate", Short: "Say everything that is wrong with the configuration", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load(cmd)
			if err != nil {
				if p.output == "json" {
					return errors.Join(err, p.json(map[string]any{"valid": false, "complaints": sentences(err)}))
				}
				return err
			}
			mode := "production"
			if cfg.Development() {
				mode = "development"
			}
			if p.output == "json" {
				return p.json(map[string]any{"valid": true, "mode": mode})
			}
			_, err = fmt.Fprintf(p.stdout, "valid, for %s\n", mode)
			return err
		},
	}
}

func (p *program) configReference() *cobra.Command {
	return &cobra.Command{
		Use: "reference", Short: "Print every key as a table in Markdown", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			if p.output == "json" {
				return p.json(reference())
			}
			_, err := fmt.Fprint(p.stdout, config.Defaults().Reference())
			return err
		},
	}
}

type configKey struct {
	Name    string `json:"name"`
	Env     string `json:"env"`
	Flag    string `json:"flag,omitempty"`
	Type    string `json:"type"`
	Default string `json:"default,omitempty"`
	Derived string `json:"derived_default,omitempty"`
	Meaning string `json:"meaning"`
}

func reference() (all []configKey) {
	for _, key := range config.Keys() {
		all = append(all, configKey{key.Name, key.Env(), key.Flag, key.Type(), key.Default, key.Derived, key.Meaning})
	}
	return all
}
