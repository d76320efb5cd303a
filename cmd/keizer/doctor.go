package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/certificate"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// What a check may find.
const (
	fine  = "ok"
	doubt = "warn"
	ill   = "fail"
)

// How far clocks may be apart before they are worth a word, and before tokens are refused for it.
const (
	skewDoubt = 2 * time.Second
	skewIll   = keys.Leeway
)

// finding is what one check found.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
}

func (f finding) cells() []string { return []string{f.Status, f.Check, f.Detail} }

// checkup is one run of the doctor. It looks and touches nothing: what is missing is reported, not made.
type checkup struct {
	p        *program
	cfg      *config.Config
	findings []finding
	leaf     *x509.Certificate // what https is served with, nil where that is none of Keizer's business
}

func (c *checkup) found(check, status, format string, args ...any) {
	c.findings = append(c.findings, finding{check, status, strings.Join(sentences(fmt.Errorf(format, args...)), "; ")})
}

// doctor is `keizer doctor`.
func (p *program) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with this installation", Args: takes(),
		Long: "Look for what is wrong with this installation, without changing anything. It exits with 1 if a check fails.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := &checkup{p: p}
			c.configuration(cmd)
			if c.cfg != nil {
				c.testMode()
				c.files()
				c.certificate()
				c.folders()
				c.mail(cmd.Context())
				c.database(cmd.Context())
			}
			if err := list(p, []string{"STATUS", "CHECK", "FINDING"}, once(c.findings)); err != nil {
				return err
			}
			failures := 0
			for _, f := range c.findings {
				if f.Status == ill {
					failures++
				}
			}
			if failures > 0 {
				return failed(fmt.Errorf("%d of %d checks failed", failures, len(c.findings)))
			}
			return nil
		},
	}
	configFlags(cmd.Flags(), "listen", "issuer", "tls-cert-file", "tls-key-file", "root-organization", "no-migrate", "log-level", "log-format")
	return cmd
}

// configuration checks the configuration; what does not hold there, holds nowhere.
func (c *checkup) configuration(cmd *cobra.Command) {
	cfg, err := c.p.load(cmd)
	if err != nil {
		for _, sentence := range sentences(err) {
			c.found("configuration", ill, "%s", sentence)
		}
		return
	}
	c.cfg = cfg
	mode, from := "production at "+cfg.Base(), "no file"
	if cfg.Development() {
		mode = "development at " + cfg.Base()
	}
	if cfg.File() != "" {
		from = "file " + cfg.File()
	}
	c.found("configuration", fine, "%s, %s", mode, from)
}

// testMode says that it is on, which is no fault and no state to leave an installation in.
func (c *checkup) testMode() {
	if c.cfg.TestMode {
		c.found("test mode", doubt, "it is on (test_mode): servers on this machine and in private networks may be asked; turn it off where people sign in")
	}
}

// certificate checks what https is served with, where Keizer does that by itself.
func (c *checkup) certificate() {
	if !c.cfg.ServesTLS() {
		return
	}
	pair, err := certificate.Load(c.cfg.TLS.CertFile, c.cfg.TLS.KeyFile)
	if err != nil {
		c.found("certificate", ill, "%v", err)
		return
	}
	c.leaf = pair.Leaf
	issuer, err := url.Parse(c.cfg.Base())
	if err == nil {
		err = pair.Leaf.VerifyHostname(issuer.Hostname())
	}
	switch expires := pair.Leaf.NotAfter.UTC().Format(time.RFC3339); {
	case err != nil:
		c.found("certificate", doubt, "it is not for the host of the issuer: %v", err)
	case certificate.Due(pair.Leaf, time.Now()):
		c.found("certificate", doubt, "it expires at %s; put a new one in its place", expires)
	default:
		c.found("certificate", fine, "it is for %s until %s", issuer.Hostname(), expires)
	}
}

// hosts checks that the certificate is also for the hosts that organizations have made their issuers.
func (c *checkup) hosts(org *storage.Organization) {
	host := org.IssuerHostAt(time.Now())
	if c.leaf == nil || host == "" {
		return
	}
	if err := c.leaf.VerifyHostname(host); err != nil {
		c.found("certificate", doubt, "it is not for the host of organization %s: %v", org.Slug, err)
	}
}

// files checks that nobody else on the machine can read what is secret.
func (c *checkup) files() {
	private := c.cfg.SecretFiles()
	if path, ok := c.sqlitePath(); ok {
		private = append(private, path)
	}
	for _, name := range private {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.found("permissions", fine, "%s does not exist yet", name)
		case err != nil:
			c.found("permissions", ill, "%s cannot be looked at: %v", name, cause(err))
		case info.Mode().Perm()&0o077 != 0:
			c.found("permissions", doubt, "%s can be read by others (%04o); chmod 600 it", name, info.Mode().Perm())
		default:
			c.found("permissions", fine, "%s is its owner's alone", name)
		}
	}
}

// mail checks the templates of mail, and the mail server as far as one can without sending anything.
func (c *checkup) mail(ctx context.Context) {
	if _, err := mail.NewComposer(c.cfg.Mail.TemplatesDir); err != nil {
		for _, sentence := range sentences(err) {
			c.found("mail templates", ill, "%s", sentence)
		}
	}
	sender, err := server.MailSender(c.cfg)
	switch {
	case err != nil:
		c.found("mail server", ill, "%v", err)
		return
	case sender == nil && c.cfg.Development():
		c.found("mail server", fine, "none is configured; mail is shown at /dev/mailbox")
		return
	case sender == nil:
		c.found("mail server", doubt, "none is configured (mail.host): mail waits in the database")
		return
	}
	session, err := sender.Open(ctx)
	if err == nil {
		err = session.Close()
	}
	if err != nil {
		c.found("mail server", ill, "%s: %v", sender.Address(), err)
		return
	}
	c.found("mail server", fine, "%s takes mail from %s (%s)", sender.Address(), c.cfg.Mail.From, c.cfg.Mail.TLS)
}

// outbox looks for mail that does not leave.
func (c *checkup) outbox(ctx context.Context, db *storage.DB) {
	abandoned, err := db.ListMail(ctx, storage.MailAbandoned, storage.Mail{}, pageSize)
	if err != nil {
		c.found("outbox", ill, "%v", err)
		return
	}
	waiting, err := db.ListMail(ctx, storage.MailWaiting, storage.Mail{}, pageSize)
	if err != nil {
		c.found("outbox", ill, "%v", err)
		return
	}
	switch {
	case len(abandoned) > 0:
		c.found("outbox", doubt, "%s could not be delivered and were given up; see `keizer mail list`", letters(len(abandoned)))
	case len(waiting) > 0 && time.Since(waiting[len(waiting)-1].CreatedAt) > mailDoubt:
		c.found("outbox", doubt, "%s wait, some since %s; see `keizer mail list`", letters(len(waiting)), date(&waiting[len(waiting)-1].CreatedAt))
	default:
		c.found("outbox", fine, "%s wait", letters(len(waiting)))
	}
}

func letters(n int) string {
	if n >= pageSize {
		return fmt.Sprintf("%d letters or more", n)
	}
	return fmt.Sprintf("%d letters", n)
}

// mailDoubt is how long mail may wait before it is worth a word.
const mailDoubt = 10 * time.Minute

// folders checks that files can be made where files are kept: SQLite puts others beside its own, and in development the master key
// is made there. A folder that does not exist is made in the nearest that does.
func (c *checkup) folders() {
	var dirs []string
	if path, ok := c.sqlitePath(); ok {
		dirs = append(dirs, filepath.Dir(path))
	}
	if name := c.cfg.MasterKeyFile(); c.cfg.Development() && name != "" && !slices.Contains(dirs, filepath.Dir(name)) {
		dirs = append(dirs, filepath.Dir(name))
	}
	for _, dir := range dirs {
		at := dir
		for ; filepath.Dir(at) != at; at = filepath.Dir(at) {
			if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			err = errors.New("it is a file")
		}
		if err == nil {
			err = writable(at)
		}
		if err != nil {
			c.found("folders", ill, "no file can be made in %s: %v", at, cause(err))
		} else {
			c.found("folders", fine, "files can be made in %s", at)
		}
	}
}

func (c *checkup) sqlitePath() (string, bool) {
	return strings.CutPrefix(c.cfg.Database.URL.Reveal(), "sqlite:")
}

// database checks everything that can only be seen in the database.
func (c *checkup) database(ctx context.Context) {
	if path, ok := c.sqlitePath(); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			status := ill
			if c.cfg.Development() || c.dirExists(path) {
				status = doubt
			}
			c.found("database", status, "%s does not exist yet; serve makes it", path)
			return
		}
	}
	if name := c.cfg.MasterKeyFile(); name != "" {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			c.found("master key", ill, "%s does not exist, and the database cannot be read without it", name)
			return
		}
	}
	keyring, err := c.cfg.Keyring()
	if err != nil {
		c.found("master key", ill, "%v", err)
		return
	}
	db, err := storage.Open(ctx, storage.Options{
		URL: c.cfg.Database.URL.Reveal(), Keyring: keyring, Log: c.p.quietLog(c.cfg), Pooler: c.cfg.Database.Pooler, MaxConns: c.cfg.Database.MaxConns,
	})
	if errors.Is(err, storage.ErrDamaged) {
		c.found("database", ill, "%v", err)
		return
	}
	if err != nil {
		c.found("database", ill, "cannot be reached: %v", err)
		return
	}
	defer db.Close()
	if err := db.Ping(ctx); err != nil {
		c.found("database", ill, "cannot be reached: %v", err)
		if lost, _ := db.LosesPreparedStatements(ctx); lost { // it may be reached, only not in this way
			c.pooler(ctx, db)
		}
		return
	}
	version, err := db.ServerVersion(ctx)
	if err != nil {
		c.found("database", ill, "%v", err)
		return
	}
	c.found("database", fine, "%s answers", version)
	c.clock(ctx, db)
	c.pooler(ctx, db)
	if !c.migrations(ctx, db) {
		return
	}
	if c.masterKey(ctx, db, keyring) {
		c.operator(ctx, db)
		c.keys(ctx, db)
		c.outbox(ctx, db)
	}
}

// masterKey reports whether the database belongs to the master key. One that belongs to none yet is left like that.
func (c *checkup) masterKey(ctx context.Context, db *storage.DB, keyring *seal.Keyring) bool {
	known, err := db.MasterKeyKnown(ctx)
	if err == nil && !known {
		c.found("master key", doubt, "nothing has been sealed in this database yet; serve begins with key %s", keyring.KeyID())
		return false
	}
	if err == nil {
		err = db.CheckMasterKey(ctx)
	}
	if err != nil {
		c.found("master key", ill, "%v", err)
		return false
	}
	c.found("master key", fine, "key %s opens this database", keyring.KeyID())
	return true
}

func (c *checkup) dirExists(path string) bool {
	info, err := os.Stat(filepath.Dir(path))
	return err == nil && info.IsDir()
}

func (c *checkup) clock(ctx context.Context, db *storage.DB) {
	skew, err := db.ClockSkew(ctx)
	switch size := skew.Abs(); {
	case err != nil:
		c.found("clock", ill, "%v", err)
	case db.Dialect() == "sqlite":
		c.found("clock", fine, "%s, and there is no other to compare it with", time.Now().UTC().Format(time.RFC3339))
	case size > skewIll:
		c.found("clock", ill, "the database's clock differs from this machine's by %s: tokens will be refused", skew.Round(time.Millisecond))
	case size > skewDoubt:
		c.found("clock", doubt, "the database's clock differs from this machine's by %s", skew.Round(time.Millisecond))
	default:
		c.found("clock", fine, "agrees with the database's to %s", max(size, time.Millisecond).Round(time.Millisecond))
	}
}

func (c *checkup) pooler(ctx context.Context, db *storage.DB) {
	if db.Dialect() != "postgres" {
		return
	}
	lost, err := db.LosesPreparedStatements(ctx)
	configured := c.cfg.Database.Pooler == "transaction"
	switch {
	case err != nil:
		c.found("pooler", doubt, "could not be looked for: %v", err)
	case lost && !configured:
		c.found("pooler", ill, "a pooler hands out connections for single transactions and loses prepared statements; set database.pooler to transaction")
	case lost:
		c.found("pooler", fine, "one is there, and database.pooler says so")
	case configured:
		c.found("pooler", doubt, "none loses prepared statements; without database.pooler the database would have less to do")
	default:
		c.found("pooler", fine, "none is in the way of prepared statements")
	}
}

// migrations reports whether the schema is this release's, so that the rest can be read.
func (c *checkup) migrations(ctx context.Context, db *storage.DB) bool {
	pending, err := db.PendingMigrations(ctx)
	switch {
	case err != nil:
		c.found("migrations", ill, "%v", err)
	case pending > 0 && c.cfg.NoMigrate:
		c.found("migrations", ill, "%d are pending and no_migrate is set; run `keizer migrate up`", pending)
	case pending > 0:
		c.found("migrations", doubt, "%d are pending; serve applies them", pending)
	default:
		c.found("migrations", fine, "none is pending")
		return true
	}
	return false
}

func (c *checkup) operator(ctx context.Context, db *storage.DB) {
	exists, err := db.OwnerExists(ctx)
	switch {
	case err != nil:
		c.found("operator", ill, "%v", err)
	case !exists:
		c.found("operator", doubt, "there is none; make one with `keizer setup-link` or `keizer user create --role operator`")
	default:
		c.found("operator", fine, "there is one at least")
	}
}

// keys checks that each organization can sign, and that the keys are not too old. Organizations without a complaint share one
// line: there may be many.
func (c *checkup) keys(ctx context.Context, db *storage.DB) {
	healthy, after := 0, ""
	for {
		orgs, err := db.ListOrganizations(ctx, after, pageSize)
		if err != nil {
			c.found("keys", ill, "%v", err)
			return
		}
		if len(orgs) == 0 {
			break
		}
		for _, org := range orgs {
			after = org.Slug
			c.hosts(&org)
			if c.keysOf(tenant.With(ctx, &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name}), db, org.Slug) {
				healthy++
			}
		}
	}
	c.found("keys", fine, "%d organizations can sign with all algorithms", healthy)
}

func (c *checkup) keysOf(ctx context.Context, db *storage.DB, slug string) bool {
	algs, err := keys.New(db, keys.Options{}).Algs(ctx)
	if err != nil {
		c.found("keys", ill, "organization %s: %v", slug, err)
		return false
	}
	if missing := len(keys.Algorithms()) - len(algs); missing > 0 {
		c.found("keys", ill, "organization %s can sign with %s only; run `keizer key rotate --now --org %s`", slug, strings.Join(algs, ", "), slug)
		return false
	}
	due, err := keys.DueForRotation(ctx, db)
	if err != nil {
		c.found("keys", ill, "organization %s: %v", slug, err)
		return false
	}
	if len(due) > 0 {
		c.found("keys", doubt, "organization %s: the keys for %s are older than %d days; run `keizer key rotate --org %s`",
			slug, strings.Join(due, ", "), int(keys.RotateAfter.Hours()/24), slug)
		return false
	}
	return true
}
