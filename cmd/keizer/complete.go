package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// completionTime is for how long somebody who has pressed a key is kept waiting for names.
	completionTime = time.Second
	// maxCompletions is how many names are looked through.
	maxCompletions = 2000
)

// files says that a file is meant.
func files(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func oneOf(words ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, toComplete string) (some []cobra.Completion, _ cobra.ShellCompDirective) {
		for _, word := range words {
			if strings.HasPrefix(word, toComplete) {
				some = append(some, word)
			}
		}
		return some, cobra.ShellCompDirectiveNoFileComp
	}
}

// flagWords are what the flags of that name take, in whichever command. What does not stand here is anything but a file.
func (p *program) flagWords() map[string]cobra.CompletionFunc {
	var presets []string
	for _, preset := range upstream.Presets() {
		presets = append(presets, preset.Name)
	}
	return map[string]cobra.CompletionFunc{
		"output": oneOf("table", "json"), "preset": oneOf(presets...), "alg": oneOf(keys.KeyAlgorithms()...), "id-token-alg": oneOf(keys.Algorithms()...),
		"grant-type":    oneOf(manage.GrantCode, manage.GrantImplicit, manage.GrantRefresh, manage.GrantClientCredentials),
		"auth-method":   oneOf(manage.AuthBasic, manage.AuthPost, manage.AuthPrivateKeyJWT, manage.AuthSecretJWT, manage.AuthNone),
		"response-type": oneOf(responsetype.Supported(true)...), "response-mode": oneOf("query", "fragment", "form_post"),
		"access-token-format": oneOf(manage.FormatOpaque, manage.FormatJWT),
		"format":              oneOf(formatLines, formatTable), "on-conflict": oneOf(manage.ConflictFail, manage.ConflictSkip, manage.ConflictUpdate),
		"log-level": oneOf("debug", "info", "warn", "error"), "log-format": oneOf("text", "json"),

		"config": files, "token-file": files, "ca-file": files, "client-secret-file": files, "jwks": files, "metadata": files, "settings": files, "logo": files,
		"file": files, "filename": files, "out": files, "data-dir": folders,

		"org": p.named(organizations), "client": p.named(clients), "role": p.named(roles), "permission": p.named(permissions),
		"allow": p.named(permissions), "withdraw": p.named(permissions),
	}
}

// complete has shells complete what can be known: words that are fixed, names that stand in the database, and files where files are meant.
func (p *program) complete(cmd *cobra.Command) {
	words := p.flagWords()
	register := func(f *pflag.Flag) {
		if f.Value.Type() == "bool" {
			return
		}
		complete, ok := words[f.Name]
		if f.Name == "client-id" && cmd.Parent() != nil && cmd.Parent().Name() == "api" {
			complete, ok = p.named(clients), true
		}
		if !ok {
			complete = cobra.NoFileCompletions
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic("the flag is the command's own: " + err.Error())
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(register)
	cmd.PersistentFlags().VisitAll(register)
	if len(cmd.Commands()) == 0 && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = p.arguments(cmd)
	}
	for _, below := range cmd.Commands() {
		if below.Name() != "completion" && below.Name() != "help" {
			p.complete(below)
		}
	}
}

// arguments completes the arguments of a command by what its usage calls them.
func (p *program) arguments(cmd *cobra.Command) cobra.CompletionFunc {
	var sources []cobra.CompletionFunc
	for _, name := range strings.Fields(cmd.Use)[1:] {
		var source cobra.CompletionFunc = cobra.NoFileCompletions
		switch is, isNew := strings.Trim(name, "[]"), strings.HasPrefix(cmd.Use, "create "); {
		case is == "FILE":
			source = files
		case isNew: // what it is to be called nobody knows
		case is == "SLUG":
			source = p.named(organizations)
		case is == "ROLE":
			source = p.named(roles)
		case is == "PERMISSION":
			source = p.named(permissions)
		case is == "CLIENT_ID":
			source = p.named(clients)
		case is == "API":
			source = p.named(apis)
		case is == "KID":
			source = p.named(signingKeys)
		case is == "NAME" && cmd.Parent().Name() == "provider":
			source = p.named(providers)
		}
		sources = append(sources, source)
	}
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(sources) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return sources[len(args)](cmd, args, toComplete)
	}
}

// nameable is something that has a name, and what people are told of it.
type nameable struct{ name, description string }

// source reads what is called something that begins so, of the organization of the context.
type source func(ctx context.Context, db *storage.DB, beginning string) ([]nameable, error)

// named completes names that stand in the database. Whatever goes wrong there are none, and nothing is said: somebody is typing.
func (p *program) named(from source) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		found, err := p.lookUp(ctx, cmd, from, toComplete)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var all []cobra.Completion
		for _, one := range found {
			if strings.HasPrefix(one.name, toComplete) && typeable.MatchString(one.name) {
				all = append(all, cobra.CompletionWithDesc(one.name, strings.Join(strings.Fields(printable(one.description)), " ")))
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// typeable is a name that means nothing else to any shell: names come from people, and not all mean well.
var typeable = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._:/@+-]*$`)

// lookUp reads names from the database, if there is one. Nothing is made that is missing, and nothing migrated.
func (p *program) lookUp(ctx context.Context, cmd *cobra.Command, from source, beginning string) ([]nameable, error) {
	if cmd.Flags().Changed("server") || p.env("KEIZER_SERVER") != "" {
		return nil, nil // they are elsewhere
	}
	cfg, err := p.load(cmd)
	if err != nil {
		return nil, err
	}
	db, err := openExisting(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	slug := cfg.RootOrganization
	if flag := cmd.Flags().Lookup("org"); flag != nil && flag.Changed {
		slug = flag.Value.String()
	}
	if org, err := db.OrganizationBySlug(ctx, slug); err == nil {
		ctx = tenant.With(ctx, &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name})
	}
	return from(ctx, db, beginning)
}

// openExisting opens a database that is there, with the master key that is there.
func openExisting(ctx context.Context, cfg *config.Config) (*storage.DB, error) {
	path, ok := strings.CutPrefix(cfg.Database.URL.Reveal(), "sqlite:")
	if !ok {
		path = ""
	}
	for _, name := range []string{path, cfg.MasterKeyFile()} {
		if name == "" {
			continue
		}
		if about, err := os.Stat(name); err != nil || about.Size() == 0 {
			return nil, errors.Join(err, fs.ErrNotExist)
		}
	}
	ring, err := cfg.Keyring()
	if err != nil {
		return nil, err
	}
	return storage.Open(ctx, storage.Options{URL: cfg.Database.URL.Reveal(), Keyring: ring, Pooler: cfg.Database.Pooler, MaxConns: 1})
}

func organizations(ctx context.Context, db *storage.DB, beginning string) ([]nameable, error) {
	rows, _, err := db.FindOrganizations(ctx, storage.OrganizationFilter{Search: beginning}, storage.Listing{Sort: "slug", Limit: 200})
	return shownAs(rows, func(o *storage.Organization) nameable { return nameable{o.Slug, o.Name} }), err
}

func clients(ctx context.Context, db *storage.DB, _ string) ([]nameable, error) {
	rows, err := db.ListClients(ctx, "", maxCompletions)
	return shownAs(rows, func(c *storage.Client) nameable { return nameable{c.ClientID, c.Name} }), err
}

func providers(ctx context.Context, db *storage.DB, _ string) ([]nameable, error) {
	rows, err := db.ListUpstreamProviders(ctx, "", maxCompletions)
	return shownAs(rows, func(u *storage.UpstreamProvider) nameable { return nameable{u.Name, ""} }), err
}

func signingKeys(ctx context.Context, db *storage.DB, _ string) ([]nameable, error) {
	rows, err := db.SigningKeys(ctx)
	return shownAs(rows, func(k *storage.SigningKey) nameable { return nameable{k.KID, k.Alg} }), err
}

func roles(ctx context.Context, db *storage.DB, _ string) ([]nameable, error) {
	rows, err := operatorsOf(db).ListRoles(ctx, "", maxCompletions)
	return shownAs(rows, func(r *manage.Role) nameable { return nameable{r.Name, r.Description} }), err
}

func permissions(ctx context.Context, db *storage.DB, _ string) ([]nameable, error) {
	rows, err := operatorsOf(db).ListPermissions(ctx, "", maxCompletions)
	return shownAs(rows, func(r *storage.Permission) nameable { return nameable{r.Name, r.Description} }), err
}

func apis(ctx context.Context, db *storage.DB, _ string) ([]nameable, error) {
	rows, err := operatorsOf(db).ListAPIs(ctx, "", maxCompletions)
	return shownAs(rows, func(a *storage.API) nameable { return nameable{a.Identifier, a.Name} }), err
}

func operatorsOf(db *storage.DB) *manage.Operators {
	return manage.New(db, nil, slog.New(slog.DiscardHandler))
}

func shownAs[R any](rows []R, show func(*R) nameable) []nameable {
	all := make([]nameable, len(rows))
	for i := range rows {
		all[i] = show(&rows[i])
	}
	slices.SortStableFunc(all, func(a, b nameable) int { return cmp.Compare(a.name, b.name) })
	return all
}
