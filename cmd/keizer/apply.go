package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/strictyaml"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
)

// described is a manifest, and where it stands.
type described struct {
	// file is what the file is called, and dir where the files are that it names.
	file, dir string
	document  strictyaml.Document
	manifest  *manage.Manifest
	secrets   map[string]secret.Text
}

// applyResult is what came of all manifests, as it is shown.
type applyResult struct {
	DryRun        bool              `json:"dry_run"`
	Changed       bool              `json:"changed"`
	Organizations []*manage.Applied `json:"organizations"`
}

// apply is `keizer apply`.
func (p *program) apply() *cobra.Command {
	var files []string
	var dryRun, prune, detailed bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make organizations what files say that they are to be", Args: takes(), Annotations: eitherWay,
		Long: "Make organizations what files say that they are to be: their settings, hosts, permissions, roles, providers, clients and APIs. `keizer export`\n" +
			"writes such a file; docs/manifest.md explains it.\n\n" +
			"All that is to be changed of an organization is changed in one transaction, or nothing is. What a file does not speak of stays as it is, and so\n" +
			"does, without --prune, what is there and not named. To apply a file again changes nothing.\n\n" +
			"Exit codes: 0 if all of it is as the files say, or would be; with --detailed-exitcode, 5 if --dry-run found that something would be changed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case len(files) == 0:
				return usage("%s needs -f FILE", cmd.CommandPath())
			case detailed && !dryRun:
				return usage("--detailed-exitcode is of use with --dry-run only")
			}
			all, err := p.manifests(files)
			if err != nil {
				return err
			}
			options := manage.ApplyOptions{DryRun: dryRun, Prune: prune}
			if p.there() {
				err = p.throughTo(cmd, all[0].manifest.Slug, func(ctx context.Context, r *remote) error {
					return p.applyAll(all, options, detailed, func(d *described, o manage.ApplyOptions) (*manage.Applied, error) { return r.apply(ctx, d, o) })
				})
			} else {
				err = p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
					return p.applyAll(all, options, detailed, func(d *described, o manage.ApplyOptions) (*manage.Applied, error) {
						return house.Operators.Apply(ctx, d.manifest, o)
					})
				})
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&files, "filename", "f", nil, "file, folder of files (.yaml, .yml, .json), or - for standard input; may be repeated")
	flags.BoolVar(&dryRun, "dry-run", false, "say what would be changed, and change nothing")
	flags.BoolVar(&prune, "prune", false, "delete what is there and not named, in those parts of an organization that a file speaks of")
	flags.BoolVar(&detailed, "detailed-exitcode", false, "with --dry-run: end with 5 if something would be changed")
	return cmd
}

// manifests reads all files, and everything that is wrong with them is said at once, before anything is opened.
func (p *program) manifests(names []string) (all []*described, err error) {
	var complaints []error
	paths, err := filesOf(names)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := p.readFile(path)
		if err != nil {
			return nil, err
		}
		file, dir := path, filepath.Dir(path)
		if path == "-" {
			file, dir = "standard input", "."
		}
		documents, err := strictyaml.Documents(text)
		if wrongYAML := (*strictyaml.Error)(nil); errors.As(err, &wrongYAML) {
			complaints = append(complaints, at(file, wrongYAML.Line, wrongYAML.Pointer, wrongYAML.Message))
			continue
		}
		for _, document := range documents {
			d := &described{file: file, dir: dir, document: document}
			if d.manifest, err = manage.ParseManifest(document.JSON); err != nil {
				complaints = append(complaints, d.located(err))
				continue
			}
			complaints = append(complaints, p.resolve(d))
			if i := slices.IndexFunc(all, func(other *described) bool { return other.manifest.Slug == d.manifest.Slug }); i >= 0 {
				complaints = append(complaints, at(file, document.Line("/slug"), "/slug",
					fmt.Sprintf("the organization %s is described already, at %s:%d", d.manifest.Slug, all[i].file, all[i].document.Line("/slug"))))
			}
			all = append(all, d)
		}
	}
	if err := errors.Join(complaints...); err != nil {
		return nil, wrong(err)
	}
	if len(all) == 0 {
		return nil, usage("there is no document in %s", strings.Join(names, ", "))
	}
	return all, nil
}

// filesOf are the files that are meant, those of a folder in the order of their names.
func filesOf(names []string) (paths []string, err error) {
	for _, name := range names {
		about, err := os.Stat(name)
		if name == "-" || err != nil || !about.IsDir() {
			if slices.Contains(paths, name) {
				return nil, usage("%s is named twice", name)
			}
			paths = append(paths, name) // what cannot be read, whoever opens it will say
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, wrong(err)
		}
		found := len(paths)
		for _, entry := range entries {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name())) && !entry.IsDir() {
				paths = append(paths, filepath.Join(name, entry.Name()))
			}
		}
		if len(paths) == found {
			return nil, usage("folder %s has no files that end with .yaml, .yml or .json", name)
		}
	}
	return paths, nil
}

// at is what is wrong with a member of a file.
func at(file string, line int, pointer, message string) error {
	if path := strictyaml.Path(pointer); path != "" {
		message = path + ": " + message
	}
	return fmt.Errorf("%s:%d: %s", file, line, message)
}

// resolve finds the secrets that a manifest refers to.
func (p *program) resolve(d *described) error {
	var complaints []error
	d.secrets = make(map[string]secret.Text)
	for _, reference := range d.manifest.References() {
		complain := func(member, format string, args ...any) {
			pointer := reference.Pointer + "/" + member
			complaints = append(complaints, at(d.file, d.document.Line(pointer), pointer, fmt.Sprintf(format, args...)))
		}
		if reference.Env != "" {
			if value := p.env(reference.Env); value != "" {
				d.secrets[reference.Pointer] = secret.Text(value)
			} else if !reference.Optional {
				complain("env", "the environment variable %s is not set", reference.Env)
			}
			continue
		}
		path := reference.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(d.dir, path)
		}
		text, err := p.readFile(path)
		value := strings.TrimRight(string(text), "\r\n") // which an echo adds, and a key ends with
		switch {
		case errors.Is(err, fs.ErrNotExist) && reference.Optional:
		case err != nil:
			complain("file", "file %s cannot be read: %v", path, cause(err))
		case value == "":
			complain("file", "file %s is empty", path)
		default:
			d.secrets[reference.Pointer] = secret.Text(value)
		}
	}
	return errors.Join(complaints...)
}

// located says of what is wrong with a manifest in which line of which file it is.
func (d *described) located(err error) error {
	if found := manage.Complaints(err); len(found) > 0 {
		all := make([]error, len(found))
		for i, complaint := range found {
			all[i] = at(d.file, d.document.Line(complaint.Field), complaint.Field, complaint.Message)
		}
		return wrong(errors.Join(all...))
	}
	var conflict *manage.Conflict
	var placed *manage.Placed
	switch {
	case errors.As(err, &conflict) && (conflict.Field == "" || conflict.Field[0] == '/'):
		return &exit{exitConflict, at(d.file, d.document.Line(conflict.Field), conflict.Field, conflict.Message)}
	case errors.As(err, &placed):
		return fmt.Errorf("%s:%d: %w", d.file, d.document.Line(placed.Pointer), err)
	}
	return fmt.Errorf("%s:%d: %w", d.file, d.document.Line("/slug"), err)
}

// applyAll applies all manifests, each in a transaction of its own. Where there are several, it looks at all of them before it begins with
// the first.
func (p *program) applyAll(
	all []*described, options manage.ApplyOptions, detailed bool, apply func(*described, manage.ApplyOptions) (*manage.Applied, error),
) error {
	result := applyResult{DryRun: options.DryRun, Organizations: []*manage.Applied{}}
	pass := func(options manage.ApplyOptions, keep, goOn bool) (complaints []error) {
		for _, d := range all {
			options.Secrets = d.secrets
			applied, err := apply(d, options)
			if err != nil {
				if complaints = append(complaints, d.located(err)); !goOn {
					break
				}
				continue
			}
			if keep {
				result.Organizations = append(result.Organizations, applied)
				result.Changed = result.Changed || applied.Changed()
			}
		}
		return complaints
	}
	if options.DryRun || len(all) > 1 {
		looking := options
		looking.DryRun = true
		if complaints := pass(looking, options.DryRun, true); len(complaints) > 0 {
			return errors.Join(complaints...)
		}
	}
	var err error
	if !options.DryRun {
		if err = errors.Join(pass(options, true, false)...); err != nil && len(result.Organizations) == 0 {
			return err
		}
	}
	if shownErr := p.showApplied(&result); shownErr != nil {
		return errors.Join(err, shownErr)
	}
	if err != nil { // something came up between the look and the deed
		return fmt.Errorf("broken off, and may be repeated: %w", err)
	}
	if detailed && result.Changed {
		return &exit{exitChanges, errors.New("")}
	}
	return nil
}

var signs = map[string]string{manage.ChangeCreate: "+", manage.ChangeUpdate: "~", manage.ChangeDelete: "-", manage.ChangeNone: "="}

func (p *program) showApplied(result *applyResult) error {
	if p.output == "json" {
		return p.json(result)
	}
	var b strings.Builder
	for _, applied := range result.Organizations {
		fmt.Fprintf(&b, "organization %s\n", applied.Organization)
		for i := range applied.Changes {
			writeChange(&b, &applied.Changes[i], result.DryRun)
		}
		count := make(map[string]int)
		for _, change := range applied.Changes {
			count[change.Action]++
		}
		words := []string{"created", "changed", "deleted"}
		if result.DryRun {
			words = []string{"to create", "to change", "to delete"}
		}
		fmt.Fprintf(&b, "%d %s, %d %s, %d %s, %d as they are, %d left alone\n", count[manage.ChangeCreate], words[0], count[manage.ChangeUpdate], words[1],
			count[manage.ChangeDelete], words[2], count[manage.ChangeNone], count[manage.ChangeLeft])
	}
	if result.DryRun {
		b.WriteString("a dry run: nothing was written\n")
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

// writeChange writes what becomes of one thing: what comes of other people is on lines of its own, and obeyed by no terminal.
func writeChange(b *strings.Builder, c *manage.Change, dryRun bool) {
	name := c.Kind + " " + printable(c.Name)
	if c.Action == manage.ChangeLeft {
		why := "it does not stand in the file; --prune deletes it"
		if c.Note != "" {
			why = printable(c.Note)
		}
		fmt.Fprintf(b, "  %s is left alone: %s\n", name, why)
		return
	}
	fmt.Fprintf(b, "%s %s\n", signs[c.Action], name)
	for _, m := range c.Members {
		if c.Action == manage.ChangeCreate {
			fmt.Fprintf(b, "    %s: %s\n", printable(m.Member), shownValue(m.After))
		} else {
			fmt.Fprintf(b, "    %s: %s → %s\n", printable(m.Member), shownValue(m.Before), shownValue(m.After))
		}
	}
	switch {
	case c.ClientSecret != "":
		fmt.Fprintf(b, "    client_secret: %s (shown this once)\n", c.ClientSecret)
	case c.Secret == "generated":
		b.WriteString("    secret: one would be generated, and shown once\n")
	case c.Secret == "given" && c.Action == manage.ChangeCreate:
		b.WriteString("    secret: as given\n")
	case c.Secret != "" && dryRun:
		b.WriteString("    secret would change\n")
	case c.Secret != "":
		b.WriteString("    secret changed\n")
	}
	if c.Note != "" {
		fmt.Fprintf(b, "    %s\n", printable(c.Note))
	}
}

func shownValue(value any) string {
	if value == nil {
		return "(none)"
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "?"
	}
	return printable(strings.TrimSuffix(b.String(), "\n"))
}

// apply applies a manifest through the server. One of an organization that is not there yet goes where organizations are made.
func (r *remote) apply(ctx context.Context, d *described, options manage.ApplyOptions) (*manage.Applied, error) {
	secrets := make(map[string]string, len(d.secrets))
	for pointer, text := range d.secrets {
		secrets[pointer] = text.Reveal()
	}
	body := map[string]any{
		"document": json.RawMessage(d.document.JSON), "secrets": secrets, "dry_run": options.DryRun, "prune": options.Prune,
	}
	r.org = &tenant.Org{Slug: d.manifest.Slug}
	var applied manage.Applied
	_, err := r.do(ctx, call{method: http.MethodPost, path: r.in("configuration"), body: body}, &applied)
	if missing := (*exit)(nil); errors.As(err, &missing) && missing.code == exitNotFound {
		_, err = r.do(ctx, call{method: http.MethodPost, path: []string{"configuration"}, body: body}, &applied)
	}
	if err != nil {
		return nil, pointed(err)
	}
	return &applied, nil
}

// pointed gives what the server says of the members of a document the pointers back that they have there.
func pointed(err error) error {
	pointer := func(field string) string {
		path, _ := strings.CutPrefix(field, "document")
		return strings.ReplaceAll(path, ".", "/")
	}
	var conflict *manage.Conflict
	switch found := manage.Complaints(err); {
	case len(found) > 0:
		all := make([]error, len(found))
		for i, complaint := range found {
			all[i] = &manage.Invalid{Field: pointer(complaint.Field), Message: complaint.Message}
		}
		return errors.Join(all...)
	case errors.As(err, &conflict):
		return &manage.Conflict{Field: pointer(conflict.Field), Message: conflict.Message}
	}
	return err
}
