package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/admin"
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
		Use: "import FILE", Short: "Make the people of a file, those that are missing", Args: takes("FILE"), Annotations: eitherWay,
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
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return p.importFrom(ctx, r.importUsers, file, format, options)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				return p.importFrom(ctx, house.Operators.ImportUsers, file, format, options)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", "", "jsonl or csv (default: by the name of the file, else jsonl)")
	flags.BoolVar(&options.DryRun, "dry-run", false, "check everything and write nothing")
	flags.StringVar(&options.OnConflict, "on-conflict", manage.ConflictFail, "somebody who is there and differs from the file: fail, skip or update")
	return cmd
}

// importer makes people, here or at a server.
type importer func(context.Context, manage.RecordReader, manage.ImportOptions) (manage.ImportSummary, error)

func (p *program) importFrom(ctx context.Context, do importer, file io.Reader, format string, options manage.ImportOptions) error {
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
	summary, err := do(ctx, from, options)
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

// How much goes to a server in one request: passwords take time there, and a body has its bounds.
const (
	importPeople = 50
	importBytes  = admin.MaxBody / 2
)

// importUsers is ImportUsers of package manage, in parts that a server takes.
func (r *remote) importUsers(ctx context.Context, from manage.RecordReader, options manage.ImportOptions) (manage.ImportSummary, error) {
	all := manage.ImportSummary{DryRun: options.DryRun}
	type complaint struct {
		line int
		*manage.Invalid
	}
	var wrong []complaint // of the lines that are at hand
	fail := func(line int, err error) {
		all.Failed++
		for _, one := range manage.Complaints(err) {
			wrong = append(wrong, complaint{line, one})
		}
	}
	complain := func() {
		slices.SortStableFunc(wrong, func(a, b complaint) int { return cmp.Compare(a.line, b.line) })
		for _, one := range wrong {
			options.Complain(one.line, one.Invalid)
		}
		wrong = nil
	}
	defer complain()
	for more := true; more; complain() {
		var people []json.RawMessage
		var lines []int
		for size := 0; more && len(people) < importPeople && size < importBytes; {
			line, record, err := from.Next()
			var spoilt *manage.Invalid
			switch {
			case errors.Is(err, io.EOF):
				more = false
				continue
			case errors.As(err, &spoilt) && spoilt.Field == "file": // and nobody knows where it goes on
				fail(line, err)
				more = false
				continue
			case len(manage.Complaints(err)) > 0:
				fail(line, err)
				continue
			case err != nil:
				return all, fmt.Errorf("read line %d: %w", line, err)
			}
			text, err := recordText(record)
			if err != nil {
				return all, err
			}
			if len(text) > importBytes {
				fail(line, &manage.Invalid{Field: "line", Message: fmt.Sprintf("it has more than the %d bytes that a server takes", importBytes)})
				continue
			}
			people, lines, size = append(people, text), append(lines, line), size+len(text)
		}
		if len(people) == 0 {
			continue
		}
		body := map[string]any{"people": people, "on_conflict": options.OnConflict, "dry_run": options.DryRun}
		var part struct {
			manage.ImportSummary
			Complaints []struct {
				Index          int
				Field, Message string
			}
		}
		if err := r.post(ctx, body, &part, r.in("users", "import")...); err != nil {
			return all, err
		}
		all.Created, all.Updated, all.Unchanged = all.Created+part.Created, all.Updated+part.Updated, all.Unchanged+part.Unchanged
		all.Skipped, all.Failed = all.Skipped+part.Skipped, all.Failed+part.Failed
		for _, c := range part.Complaints {
			if c.Index >= 0 && c.Index < len(lines) {
				wrong = append(wrong, complaint{lines[c.Index], &manage.Invalid{Field: c.Field, Message: unsentence(c.Message)}})
			}
		}
	}
	return all, nil
}

// recordText is a record as it goes to a server, with its password, which does not print itself.
func recordText(record *manage.Record) (json.RawMessage, error) {
	text, err := json.Marshal(record) //nolint:gosec // a password prints as [redacted]
	if err != nil || record.Password == "" {
		return text, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	members["password"] = record.Password.Reveal()
	return json.Marshal(members)
}

// exportUsers is ExportUsers of package manage, from a server.
func (r *remote) exportUsers(ctx context.Context, to manage.RecordWriter, options manage.ExportOptions) error {
	query := url.Values{"hashes": {strconv.FormatBool(options.Hashes)}, "ids": {strconv.FormatBool(options.IDs)}}
	for next := pages[manage.Record](ctx, r, query, nil, r.in("users", "export")...); ; {
		records, err := next()
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return to.Flush()
		}
		for i := range records {
			if err := to.Write(&records[i]); err != nil {
				return failed(fmt.Errorf("export users: %w", err))
			}
		}
	}
}

func (p *program) userExport() *cobra.Command {
	format := formatLines
	var options manage.ExportOptions
	cmd := &cobra.Command{
		Use: "export", Short: "Write the people of an organization to standard output", Args: takes(), Annotations: eitherWay,
		Long: "Write the people of an organization to standard output, in a form that import reads. Passwords are left out unless their hashes are asked for:\n" +
			"whoever has those can guess at the passwords for as long as they like. With -o json, and no --format, it is one JSON array, for programs.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			writer := func() (manage.RecordWriter, error) {
				switch {
				case p.output == "json" && !cmd.Flags().Changed("format"):
					return manage.WriteArray(p.stdout), nil
				case format == formatTable:
					return manage.WriteTable(p.stdout, options)
				}
				return manage.WriteJSONLines(p.stdout), nil
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					to, err := writer()
					if err != nil {
						return failed(err)
					}
					return r.exportUsers(ctx, to, options)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
				to, err := writer()
				if err != nil {
					return failed(err)
				}
				_, err = house.Operators.ExportUsers(ctx, to, options)
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
