package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
)

// The formats of files of people.
const (
	formatLines = "jsonl"
	formatTable = "csv"
)

func checkFormat(format string) error {
	if format != formatLines && format != formatTable {
		return usage("--format must be %s or %s", formatLines, formatTable)
	}
	return nil
}

// maxShown is how many complaints are repeated in JSON; all of them stand on standard error.
const maxShown = 1000

// importComplaint is what is wrong with a line, as it is shown.
type importComplaint struct {
	Line    int    `json:"line"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (p *program) userImport() *cobra.Command {
	var format string
	var options manage.ImportOptions
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make the people of a file, those that are missing", Args: takes("FILE"),
		Long: "Make the people of a file, or of standard input when it is -: those that are missing. It may be repeated, also after it was interrupted.\n\n" +
			"A file is JSON objects, one a line, with the members email, email_verified, username, name, password or password_hash, active, roles, metadata, id\n" +
			"and created_at, of which only email is needed; or CSV with a first line of these names. Whatever is wrong is said by its line, and the rest is\n" +
			"imported. The passwords of people who have one are left alone.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if format == "" {
				if format = formatLines; filepath.Ext(args[0]) == "."+formatTable {
					format = formatTable
				}
			}
			if err := checkFormat(format); err != nil {
				return err
			}
			file := io.NopCloser(p.stdin)
			if args[0] != "-" {
				if about, err := os.Stat(args[0]); err == nil && about.IsDir() {
					return usage("%s is a folder", args[0])
				}
				var err error
				if file, err = os.Open(args[0]); err != nil {
					return wrong(err)
				}
			}
			defer file.Close()
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				return p.importFrom(ctx, house, file, format, options)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", "", "jsonl or csv (default: by the name of the file, else jsonl)")
	flags.BoolVar(&options.DryRun, "dry-run", false, "check everything and write nothing")
	flags.StringVar(&options.OnConflict, "on-conflict", manage.ConflictFail, "somebody who is there and differs from the file: fail, skip or update")
	return cmd
}

func (p *program) importFrom(ctx context.Context, house *server.House, file io.Reader, format string, options manage.ImportOptions) error {
	var from manage.RecordReader
	var err error
	if format == formatLines {
		from = manage.JSONLines(file)
	} else if from, err = manage.Table(file); err != nil {
		return err
	}
	complaints := []importComplaint{}
	options.Complain = func(line int, c *manage.Invalid) {
		fmt.Fprintf(p.stderr, "keizer: line %d: %s\n", line, printable(c.Error()))
		if len(complaints) < maxShown {
			complaints = append(complaints, importComplaint{line, c.Field, c.Message})
		}
	}
	summary, err := house.Operators.ImportUsers(ctx, from, options)
	if len(manage.Complaints(err)) > 0 {
		return err
	}
	shown := struct {
		manage.ImportSummary
		Complaints []importComplaint `json:"complaints"`
	}{summary, complaints}
	fields := []field{
		{"created", strconv.Itoa(summary.Created)}, {"updated", strconv.Itoa(summary.Updated)}, {"unchanged", strconv.Itoa(summary.Unchanged)},
		{"skipped", strconv.Itoa(summary.Skipped)}, {"failed", strconv.Itoa(summary.Failed)},
	}
	if summary.DryRun {
		fields = append(fields, field{"dry run", "nothing was written"})
	}
	// What was done before it broke off is done: whoever has to repeat it wants to know.
	if shownErr := p.show(shown, fields...); shownErr != nil && err == nil {
		err = shownErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("broken off, and may be repeated: %w", err)
	case summary.Failed > 0:
		return failed(fmt.Errorf("%d lines failed", summary.Failed))
	}
	return nil
}

func (p *program) userExport() *cobra.Command {
	format := formatLines
	var options manage.ExportOptions
	cmd := &cobra.Command{
		Use: "export", Short: "Write the people of an organization to standard output", Args: takes(),
		Long: "Write the people of an organization to standard output, in a form that import reads. Passwords are left out unless their hashes are asked for:\n" +
			"whoever has those can guess at the passwords for as long as they like. With -o json, and no --format, it is one JSON array, for programs.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				to := manage.WriteJSONLines(p.stdout)
				switch {
				case p.output == "json" && !cmd.Flags().Changed("format"):
					to = manage.WriteArray(p.stdout)
				case format == formatTable:
					var err error
					if to, err = manage.WriteTable(p.stdout, options); err != nil {
						return failed(err)
					}
				}
				_, err := house.Operators.ExportUsers(ctx, to, options)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", formatLines, "jsonl or csv")
	flags.BoolVar(&options.Hashes, "with-hashes", false, "with the hashes of passwords")
	flags.BoolVar(&options.IDs, "with-ids", false, "with ids, so that applications know people again who move to another installation")
	return cmd
}
