package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/strictyaml"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server"
)

// export is `keizer export`.
func (p *program) export() *cobra.Command {
	var all bool
	var out string
	cmd := orgFlag(&cobra.Command{
		Use: "export", Short: "Write an organization as a file that `keizer apply` takes", Args: takes(), Annotations: eitherWay,
		Long: "Write an organization as a file that `keizer apply` takes: its settings, hosts, permissions, roles, providers, clients and APIs. Applied where it\n" +
			"comes from, it changes nothing. Secrets are not in it: it names variables of the environment, and where those are not set, secrets stay as\n" +
			"they are. People, their roles, keys and pictures are not in it, either.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all && cmd.Flags().Changed("org") {
				return usage("--all and --org contradict one another")
			}
			documents, err := p.documents(cmd, all)
			if err != nil {
				return err
			}
			text, err := p.written(documents, all)
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, text, 0o600); err != nil {
					return wrong(err)
				}
				return nil
			}
			_, err = p.stdout.Write(text)
			return err
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "write every organization, one document each")
	cmd.Flags().StringVarP(&out, "out", "f", "", "write to this file instead of standard output")
	return cmd
}

// documents are the organizations that are asked for, as they are described.
func (p *program) documents(cmd *cobra.Command, all bool) (documents []json.RawMessage, err error) {
	switch {
	case p.there() && all:
		err = p.throughTo(cmd, "", func(ctx context.Context, r *remote) error {
			next := pages[organization](ctx, r, nil, nil, "organizations")
			for page, err := next(); len(page) > 0 || err != nil; page, err = next() {
				if err != nil {
					return err
				}
				for _, org := range page {
					r.org = &tenant.Org{Slug: org.Slug}
					if documents, err = r.described(ctx, documents); err != nil {
						return err
					}
				}
			}
			return nil
		})
	case p.there():
		err = p.through(cmd, func(ctx context.Context, r *remote) error {
			documents, err = r.described(ctx, documents)
			return err
		})
	case all:
		err = p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
			for after := ""; ; {
				rows, err := house.DB.ListOrganizations(ctx, after, pageSize)
				if err != nil || len(rows) == 0 {
					return err
				}
				for i := range rows {
					after = rows[i].Slug
					document, err := house.Operators.Describe(tenant.With(ctx, &tenant.Org{ID: rows[i].ID, Slug: rows[i].Slug}))
					if err != nil {
						return err
					}
					documents = append(documents, document)
				}
			}
		})
	default:
		err = p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
			document, err := house.Operators.Describe(ctx)
			documents = append(documents, document)
			return err
		})
	}
	return documents, err
}

// described adds the description of the organization that is asked about.
func (r *remote) described(ctx context.Context, documents []json.RawMessage) ([]json.RawMessage, error) {
	var document json.RawMessage
	if err := r.get(ctx, &document, r.in("configuration")...); err != nil {
		return nil, err
	}
	return append(documents, document), nil
}

// written is a file of documents: YAML, or with -o json one object, or an array of all.
func (p *program) written(documents []json.RawMessage, all bool) ([]byte, error) {
	var out bytes.Buffer
	if p.output == "json" {
		if all {
			text, err := json.Marshal(documents)
			return append(text, '\n'), err
		}
		return append(bytes.Clone(documents[0]), '\n'), nil
	}
	for i, document := range documents {
		if i > 0 {
			out.WriteString("---\n")
		}
		var head struct {
			Slug string `json:"slug"`
		}
		if err := json.Unmarshal(document, &head); err != nil {
			return nil, fmt.Errorf("read a manifest: %w", err)
		}
		text, err := strictyaml.Write(document, func(pointer string) strictyaml.Note { return noteAbout(pointer, head.Slug) })
		if err != nil {
			return nil, err
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// noteAbout is what is written beside a member for whoever reads the file.
func noteAbout(pointer, slug string) strictyaml.Note {
	parts := strings.Split(pointer, "/")
	switch {
	case pointer == "":
		return strictyaml.Note{Above: "The organization " + slug + ", as `keizer export` has written it; `keizer apply` makes it so."}
	case len(parts) == 4 && parts[3] == "secret":
		return strictyaml.Note{Short: true, Beside: "stays as it is where the variable is not set"}
	}
	return strictyaml.Note{}
}
