package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// followEvery is how often it is looked whether there are new events.
const followEvery = time.Second

// auditEvent is an event as it is shown.
type auditEvent struct{ manage.AuditLine }

func (e auditEvent) cells() []string {
	const most = 120 // characters
	details := []rune(string(e.Details))
	if len(details) > most {
		details = append(details[:most], '…')
	}
	address := ""
	if e.IPAddress != nil {
		address = *e.IPAddress
	}
	return []string{strconv.FormatInt(e.Sequence, 10), date(&e.CreatedAt), e.Actor, e.Action, e.Target, address, string(details)}
}

// audit is `keizer audit`.
func (p *program) audit() *cobra.Command {
	cmd := orgFlag(group("audit", "Who did what, and that it was not changed since", p.auditTail(), p.auditExport(), p.auditVerify(), p.auditPurge()))
	cmd.PersistentFlags().Bool("deleted", false, "the organization was deleted; --org is the slug that it had, or its id")
	return cmd
}

// inAudit opens the house and does something with the audit of the organization that --org, and perhaps --deleted, names.
func (p *program) inAudit(cmd *cobra.Command, do func(context.Context, *server.House, *tenant.Org) error) error {
	deleted, err := cmd.Flags().GetBool("deleted")
	if err != nil {
		return err
	}
	if !deleted {
		return p.inOrganization(cmd, do)
	}
	return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
		row, err := p.deletedOrganization(ctx, cmd, house)
		if err != nil {
			return err
		}
		org := &tenant.Org{ID: row.ID, Slug: row.FormerSlug(), Name: row.Name}
		return do(tenant.With(ctx, org), house, org)
	})
}

// overAudit does something with the audit of an organization through a server.
func (p *program) overAudit(cmd *cobra.Command, do func(context.Context, *remote) error) error {
	if deleted, err := cmd.Flags().GetBool("deleted"); err != nil || deleted {
		return usage("the audit of an organization that was deleted is read on the database itself: --deleted and --server (or KEIZER_SERVER) contradict one another")
	}
	return p.through(cmd, do)
}

// auditQuery is a filter as the API takes it.
func auditQuery(filter storage.AuditFilter) url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"actor": filter.Actor, "action": filter.Action, "target": filter.Target} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": filter.Since, "until": filter.Until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return query
}

// events are those that a query finds at the server.
func (r *remote) events(ctx context.Context, query url.Values) func() ([]auditEvent, error) {
	return pages(ctx, r, query, func(e *auditEvent) { e.Organization = r.org.Slug }, r.in("audit-events")...)
}

// lastEvents returns the newest events, the oldest of them first.
func (r *remote) lastEvents(ctx context.Context, query url.Values, n int) (events []auditEvent, err error) {
	query = cloned(query)
	query.Set("limit", strconv.Itoa(max(1, min(n, remotePage))))
	for next := r.events(ctx, query); len(events) < n; {
		page, err := next()
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		events = append(events, page...)
	}
	events = events[:min(n, len(events))]
	slices.Reverse(events)
	return events, nil
}

// followAudit shows events, and those that come after them.
func (r *remote) followAudit(ctx context.Context, query url.Values, last []auditEvent) error {
	seen := last
	if len(seen) == 0 { // then what comes after whatever there is
		var err error
		if seen, err = r.lastEvents(ctx, nil, 1); err != nil {
			return err
		}
	}
	query = cloned(query)
	query.Set("sort", "sequence")
	after := func(events []auditEvent) {
		if n := len(events); n > 0 {
			query.Set("after", strconv.FormatInt(max(1, events[n-1].Sequence), 10))
		}
	}
	after(seen)
	return r.p.showEvents(true, func() ([]auditEvent, error) {
		if page := last; len(page) > 0 {
			last = nil
			return page, nil
		}
		for {
			page, err := r.events(ctx, query)()
			if err != nil || len(page) > 0 {
				after(page)
				return page, err
			}
			if err := sleep(ctx, followEvery); err != nil {
				return nil, err
			}
		}
	})
}

// showEvents shows events: as they come, each a line of JSON; else as any list.
func (p *program) showEvents(coming bool, next func() ([]auditEvent, error)) error {
	if !coming || p.output != "json" {
		return list(p, []string{"NUMBER", "TIME", "ACTOR", "ACTION", "TARGET", "ADDRESS", "DETAILS"}, next)
	}
	for {
		page, err := next()
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := p.json(page[i]); err != nil {
				return err
			}
		}
	}
}

// deletedOrganization is the one that --org names.
func (p *program) deletedOrganization(ctx context.Context, cmd *cobra.Command, house *server.House) (*storage.Organization, error) {
	name, err := cmd.Flags().GetString("org")
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, usage("%s --deleted needs --org, with the slug or the id of the organization", cmd.CommandPath())
	}
	var found []storage.Organization
	err = deletedOrganizations(ctx, house, func(row *storage.Organization) error {
		if row.ID.String() == name || row.FormerSlug() == name {
			found = append(found, *row)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, notFound("there is no audit of a deleted organization %q", name)
	case len(found) > 1:
		several := fmt.Errorf("several organizations were called %q: name one by its id", name)
		for _, row := range found {
			several = errors.Join(several, fmt.Errorf("%s was deleted at %s", row.ID, date(row.DeletedAt)))
		}
		return nil, wrong(several)
	}
	return &found[0], nil
}

func deletedOrganizations(ctx context.Context, house *server.House, do func(*storage.Organization) error) error {
	for after := uuid.Nil; ; {
		rows, err := house.DB.ListDeletedOrganizations(ctx, "", after, pageSize)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			if err := do(&rows[i]); err != nil {
				return err
			}
			after = rows[i].ID
		}
	}
}

// auditFilter gives a command the flags that say which events are meant.
func auditFilter(cmd *cobra.Command) func() (storage.AuditFilter, error) {
	var filter storage.AuditFilter
	var since, until string
	flags := cmd.Flags()
	flags.StringVar(&filter.Actor, "actor", "", `only what this actor did, such as "user:<id>" or "cli:alice"`)
	flags.StringVar(&filter.Action, "action", "", `only this, such as "user.created"`)
	flags.StringVar(&filter.Target, "target", "", "only what was done to this: an id, the client_id of a client, a slug")
	flags.StringVar(&since, "since", "", "only from a time on (RFC 3339), or from some time ago (such as 24h)")
	flags.StringVar(&until, "until", "", "only before a time, likewise")
	return func() (storage.AuditFilter, error) {
		for _, bound := range []struct {
			name, text string
			at         *time.Time
		}{{"since", since, &filter.Since}, {"until", until, &filter.Until}} {
			if bound.text == "" {
				continue
			}
			if ago, err := time.ParseDuration(bound.text); err == nil && ago > 0 {
				*bound.at = time.Now().Add(-ago)
				continue
			}
			at, err := time.Parse(time.RFC3339, bound.text)
			if err != nil {
				return filter, usage("--%s must be a time such as 2026-01-31T12:00:00Z, or a duration such as 24h", bound.name)
			}
			*bound.at = at
		}
		return filter, nil
	}
}

func (p *program) auditTail() *cobra.Command {
	lines := 20
	follow := false
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the last events", Args: takes(), Annotations: eitherWay,
		Long: "Show the last events, the newest at the end. With --follow it goes on with those that come, until it is interrupted; in JSON each is a line then.",
	}
	filterOf := auditFilter(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter, err := filterOf()
		if err != nil {
			return err
		}
		if lines < 0 || lines > 1000 {
			return usage("--lines must be between 0 and 1000")
		}
		if p.there() {
			return p.overAudit(cmd, func(ctx context.Context, r *remote) error {
				query := auditQuery(filter)
				last, err := r.lastEvents(ctx, query, lines)
				if err != nil {
					return err
				}
				if !follow {
					return p.showEvents(false, once(last))
				}
				return unlessInterrupted(r.followAudit(ctx, query, last))
			})
		}
		return p.inAudit(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
			last, err := lastEvents(ctx, house.DB, filter, lines)
			if err != nil {
				return err
			}
			if follow {
				return unlessInterrupted(p.followAudit(ctx, house.DB, org, filter, last))
			}
			return p.showEvents(false, once(eventsOf(org, last)))
		})
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", lines, "how many events")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events that come")
	return cmd
}

// lastEvents returns the newest events, the oldest of them first.
func lastEvents(ctx context.Context, db *storage.DB, filter storage.AuditFilter, n int) ([]storage.AuditEvent, error) {
	if n == 0 {
		return nil, nil
	}
	filter.Limit = n
	events, err := db.ListAudit(ctx, filter)
	slices.Reverse(events)
	return events, err
}

// unlessInterrupted is an error, unless it is how following ends.
func unlessInterrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func eventsOf(org *tenant.Org, events []storage.AuditEvent) []auditEvent {
	shown := make([]auditEvent, len(events))
	for i := range events {
		shown[i] = auditEvent{manage.AuditLineOf(&events[i], org.Slug)}
	}
	return shown
}

// followAudit shows events, and those that come after them: in the order of their numbers, in which they come to light, so none is
// missed.
func (p *program) followAudit(ctx context.Context, db *storage.DB, org *tenant.Org, filter storage.AuditFilter, last []storage.AuditEvent) error {
	seen := last
	if len(seen) == 0 { // then what comes after whatever there is
		var err error
		if seen, err = lastEvents(ctx, db, storage.AuditFilter{}, 1); err != nil {
			return err
		}
	}
	if len(seen) > 0 {
		filter.After = &seen[len(seen)-1]
	}
	filter.OldestFirst, filter.Limit = true, pageSize
	return p.showEvents(true, func() ([]auditEvent, error) {
		if page := last; len(page) > 0 {
			last = nil
			return eventsOf(org, page), nil
		}
		for {
			page, err := db.ListAudit(ctx, filter)
			if err != nil {
				return nil, err
			}
			if len(page) > 0 {
				filter.After = &page[len(page)-1]
				return eventsOf(org, page), nil
			}
			if err := sleep(ctx, followEvery); err != nil {
				return nil, err
			}
		}
	})
}

func (p *program) auditExport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "Write events to standard output, one JSON object a line", Args: takes(), Annotations: eitherWay,
		Long: "Write the events of an organization to standard output, the oldest first, one JSON object a line.\n\n" +
			"If none is left out, the chain stands in the first line: `keizer audit verify --file` verifies them by it, with the master key and without the database.",
	}
	filterOf := auditFilter(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter, err := filterOf()
		if err != nil {
			return err
		}
		if p.there() {
			return p.overAudit(cmd, func(ctx context.Context, r *remote) error {
				for next := pages[string](ctx, r, auditQuery(filter), nil, r.in("audit-lines")...); ; {
					lines, err := next()
					if err != nil || len(lines) == 0 {
						return err
					}
					for _, line := range lines {
						if _, err := fmt.Fprintln(p.stdout, line); err != nil {
							return failed(fmt.Errorf("export audit: %w", err))
						}
					}
				}
			})
		}
		return p.inAudit(cmd, func(ctx context.Context, house *server.House, _ *tenant.Org) error {
			_, err := house.Operators.ExportAudit(ctx, p.stdout, filter)
			return err
		})
	}
	return cmd
}

// verifiedAudit is what came of verifying a chain, as it is shown.
type verifiedAudit struct {
	Organization string               `json:"organization"`
	OK           bool                 `json:"ok"`
	Events       int64                `json:"events"`
	Unchained    int64                `json:"unchained"`
	Checkpoint   string               `json:"checkpoint,omitempty"`
	BeganAt      *time.Time           `json:"began_at,omitempty"`
	Faults       []storage.AuditFault `json:"faults"`
	Found        int64                `json:"faults_found"`
}

func verifiedAuditOf(slug string, report *storage.AuditReport) verifiedAudit {
	v := verifiedAudit{
		Organization: slug, OK: report.Found == 0, Events: report.Verified, Unchained: report.Unchained, BeganAt: report.BeganAt, Faults: report.Faults,
		Found: report.Found,
	}
	if report.Last.Sequence > 0 && v.OK {
		v.Checkpoint = report.Last.String()
	}
	if v.Faults == nil {
		v.Faults = []storage.AuditFault{}
	}
	return v
}

func (v verifiedAudit) cells() []string {
	return []string{v.Organization, yes(v.OK), strconv.FormatInt(v.Events, 10), strconv.FormatInt(v.Unchained, 10), v.Checkpoint}
}

// told says what is wrong on standard error, and returns the error that the command ends with.
func (p *program) told(all ...verifiedAudit) error {
	var wrong []string
	for _, v := range all {
		for _, fault := range v.Faults {
			fmt.Fprintf(p.stderr, "keizer: %s: %s: %s\n", printable(v.Organization), fault.Fault, printable(fault.Message))
		}
		if more := v.Found - int64(len(v.Faults)); more > 0 {
			fmt.Fprintf(p.stderr, "keizer: %s: and %d faults more\n", printable(v.Organization), more)
		}
		if !v.OK {
			wrong = append(wrong, v.Organization)
		}
	}
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return failed(fmt.Errorf("the audit of organization %q is not as it was written", wrong[0]))
	}
	return failed(fmt.Errorf("the audits of %d organizations are not as they were written", len(wrong)))
}

func (p *program) auditVerify() *cobra.Command {
	var file, checkpoint string
	var all bool
	var how storage.AuditVerification
	cmd := &cobra.Command{
		Use: "verify", Short: "Look whether the audit is as it was written", Args: takes(), Annotations: eitherWay,
		Long: "Look whether the audit of an organization, or of all with --all, is as it was written: event by event, to the end of the chain. The exit code is 1\n" +
			"when it is not.\n\n" +
			"An audit that was set back as a whole to what it was at some time shows against a checkpoint from later only: give one that stands in the log of the\n" +
			"server (\"audit checkpoint\"), or that this command has printed before.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if checkpoint != "" {
				if how.Kept, err = storage.ParseAuditCheckpoint(checkpoint); err != nil {
					return usage("--checkpoint: %w", err)
				}
			}
			switch {
			case how.SinceKept && how.Kept == nil:
				return usage("--since-checkpoint needs --checkpoint")
			case all && (how.Kept != nil || file != ""), file != "" && how.Kept != nil:
				return usage("--all, --file and --checkpoint are about different things: give one of them")
			case p.there() && (all || file != ""):
				return usage("--all and --file take the master key, and --server (or KEIZER_SERVER) says to work without it")
			case p.there():
				return p.overAudit(cmd, func(ctx context.Context, r *remote) error {
					query := url.Values{}
					if how.Kept != nil {
						query.Set("checkpoint", checkpoint)
						query.Set("since_checkpoint", strconv.FormatBool(how.SinceKept))
					}
					v := verifiedAudit{Organization: r.org.Slug}
					if _, err := r.do(ctx, call{method: http.MethodGet, path: r.in("audit-verification"), query: query}, &v); err != nil {
						return err
					}
					return p.showVerified(v)
				})
			case file != "":
				return p.verifyAuditFile(cmd, file)
			case all:
				return p.verifyEveryAudit(cmd)
			}
			return p.inAudit(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				report, err := house.DB.VerifyAudit(ctx, how)
				if err != nil {
					return err
				}
				return p.showVerified(verifiedAuditOf(org.Slug, report))
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&checkpoint, "checkpoint", "", "what was kept of the chain: the number of an event, a colon and its MAC")
	flags.BoolVar(&how.SinceKept, "since-checkpoint", false, "look only at what came after the checkpoint")
	flags.BoolVar(&all, "all", false, "every organization, deleted ones too")
	flags.StringVar(&file, "file", "", "verify what audit export has written, - for standard input, and no database")
	return cmd
}

func (p *program) showVerified(v verifiedAudit) error {
	err := p.show(v, field{"organization", v.Organization}, field{"as it was written", yes(v.OK)}, field{"events", strconv.FormatInt(v.Events, 10)},
		field{"outside of the chain", outside(v.Unchained)}, field{"began", date(v.BeganAt)}, field{"checkpoint", v.Checkpoint})
	return errors.Join(p.told(v), err)
}

func outside(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10) + ", from before there were chains: nothing is known of them"
}

func (p *program) verifyAuditFile(cmd *cobra.Command, name string) error {
	cfg, err := p.load(cmd)
	if err != nil {
		return err
	}
	ring, err := cfg.Keyring()
	if err != nil {
		return wrong(err)
	}
	file := io.NopCloser(p.stdin)
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return wrong(err)
		}
	}
	defer file.Close()
	slug, report, err := manage.VerifyAuditFile(ring, file)
	if err != nil {
		return failed(fmt.Errorf("verify %s: %w", name, err))
	}
	return p.showVerified(verifiedAuditOf(slug, report))
}

func (p *program) verifyEveryAudit(cmd *cobra.Command) error {
	return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
		shown := []verifiedAudit{}
		verify := func(org *tenant.Org) error {
			report, err := house.DB.VerifyAudit(tenant.With(ctx, org), storage.AuditVerification{})
			if err == nil {
				shown = append(shown, verifiedAuditOf(org.Slug, report))
			}
			return err
		}
		for after := ""; ; {
			rows, err := house.DB.ListOrganizations(ctx, after, pageSize)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			for _, row := range rows {
				after = row.Slug
				if err := verify(&tenant.Org{ID: row.ID, Slug: row.Slug}); err != nil {
					return err
				}
			}
		}
		if err := deletedOrganizations(ctx, house, func(row *storage.Organization) error {
			return verify(&tenant.Org{ID: row.ID, Slug: row.FormerSlug() + " (" + row.ID.String() + ")"})
		}); err != nil {
			return err
		}
		err := list(p, []string{"ORGANIZATION", "AS WRITTEN", "EVENTS", "OUTSIDE", "CHECKPOINT"}, once(shown))
		return errors.Join(p.told(shown...), err)
	})
}

func (p *program) auditPurge() *cobra.Command {
	sure := false
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete the audit of an organization that was deleted", Args: takes(),
		Long: "Delete the audit of an organization that was deleted, and with it the last that there is of it. That it was done stands in the audit of the\n" +
			"root organization.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if deleted, err := cmd.Flags().GetBool("deleted"); err != nil || !deleted {
				return usage("only the audit of an organization that was deleted can be purged: give --deleted and --org")
			}
			if !sure {
				return usage("this cannot be undone: say --yes")
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				root := house.Cfg.RootOrganization
				if root == "" {
					return usage("root_organization is needed: it is there that the purge is written down")
				}
				org, err := house.Managed(ctx, root)
				if err != nil {
					return fmt.Errorf("find the root organization: %w", err)
				}
				row, err := p.deletedOrganization(ctx, cmd, house)
				if err != nil {
					return err
				}
				purged, err := house.Operators.PurgeAudit(tenant.With(ctx, org), row)
				if err != nil {
					return err
				}
				return p.show(map[string]any{"organization": row.FormerSlug(), "id": row.ID, "events_deleted": purged},
					field{"organization", row.FormerSlug()}, field{"events deleted", strconv.FormatInt(purged, 10)})
			})
		},
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "really")
	return cmd
}
