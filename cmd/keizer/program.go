package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// program is one run of the process: what main hands it, and the flags that every command has.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string

	file   string // --config
	output output // --output
	// server is the one that the command works through (--server), empty for none; the others say how.
	server, tokenFile, caFile string
}

// run runs one command and returns the exit code of the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, environ: environ, output: "table"}
	root := p.commands()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	strictCompletion(root)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		p.complete(root)
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for _, sentence := range sentences(err) {
		fmt.Fprintf(stderr, "keizer: %s\n", printable(sentence))
	}
	return exitCode(err)
}

func (p *program) commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "keizer",
		Short: "An OAuth 2.0 authorization server and OpenID Connect provider",
		Long: "Keizer is an OAuth 2.0 authorization server and OpenID Connect provider.\n\n" +
			"`keizer serve` without any configuration starts it for development.",
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(help(root))
	flags := root.PersistentFlags()
	flags.StringVar(&p.file, "config", "", "configuration file (default keizer.yaml, where there is one)")
	flags.VarP(&p.output, "output", "o", "table or json")
	configFlags(flags, "database-url", "data-dir")
	p.serverFlags(root)

	root.AddCommand(
		p.serve(), p.migrate(), p.setupLink(), p.try(), p.doctor(), p.healthcheck(), p.version(),
		p.org(), p.user(), p.invitation(), p.session(), p.role(), p.permission(), p.client(), p.api(), p.provider(), p.key(), p.token(), p.audit(),
		p.apply(), p.export(),
		p.mail(), p.secret(), p.config(),
	)
	return root
}

// strictCompletion makes cobra's completion command refuse a shell that it does not know, which it answers with its help. The command
// writes to whatever is the output when it is made.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args = cobra.ArbitraryArgs
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return unknownCommand(cmd, args[0])
				}
				return usage("%s needs the name of a shell: bash, fish, powershell or zsh", cmd.CommandPath())
			}
			for _, shell := range cmd.Commands() {
				shell.Args = takes()
			}
		}
	}
}

// help is cobra's command of that name, which calls an unknown topic an error.
func help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Say how a command is used",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// group is a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			names := make([]string, len(below))
			for i, c := range below {
				names[i] = c.Name()
			}
			return usage("%s needs one of the commands %s", cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	cmd.AddCommand(below...)
	return cmd
}

// configFlags adds the flags of configuration keys, with the names and meanings that package config gives them.
func configFlags(flags *pflag.FlagSet, names ...string) {
	for _, key := range config.Keys() {
		for _, name := range names {
			if key.Flag != name {
				continue
			}
			// The flag package would take what stands in backquotes for the name of the flag's argument.
			meaning := strings.ReplaceAll(strings.TrimSuffix(key.Meaning, "."), "`", "") + " (" + key.Env() + ")"
			if key.Type() == "true or false" {
				flags.Bool(name, false, meaning)
			} else {
				flags.String(name, "", meaning)
			}
		}
	}
}

// load reads the configuration that a command runs under: its flags, the environment, the file. Everything that is wrong with
// it, syntax and sense, comes in one error.
func (p *program) load(cmd *cobra.Command) (*config.Config, error) {
	cfg, err := config.Load(p.sources(cmd))
	if cfg != nil {
		err = errors.Join(err, cfg.Validate(), checkDatabaseFile(cfg))
	}
	if err != nil {
		return nil, wrong(err)
	}
	return cfg, nil
}

// checkDatabaseFile looks whether an existing SQLite file is one, which SQLite itself says late and in its own words.
func checkDatabaseFile(cfg *config.Config) error {
	path, ok := strings.CutPrefix(cfg.Database.URL.Reveal(), "sqlite:")
	if !ok {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil // what is missing is made; what may not be read, whoever opens it will say
	}
	defer file.Close()
	head := make([]byte, len(sqliteHead))
	switch n, err := io.ReadFull(file, head); {
	case n == 0 && errors.Is(err, io.EOF), string(head) == sqliteHead:
		return nil
	default:
		return fmt.Errorf("database.url: file %s is not an SQLite database", path)
	}
}

const sqliteHead = "SQLite format 3\x00"

func (p *program) sources(cmd *cobra.Command) config.Sources {
	args := make(map[string]string)
	for _, key := range config.Keys() {
		if flag := cmd.Flags().Lookup(key.Flag); key.Flag != "" && flag != nil && flag.Changed {
			args[key.Flag] = flag.Value.String()
		}
	}
	return config.Sources{Args: args, Environ: p.environ, File: p.file}
}

// inHouse opens the house as serve would (in development, making what is missing) and does something in it.
func (p *program) inHouse(cmd *cobra.Command, do func(context.Context, *server.House) error) error {
	cfg, err := p.load(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	house, err := server.Boot(ctx, cfg, p.quietLog(cfg))
	if err != nil {
		return notOpened(err)
	}
	ctx = manage.WithActor(ctx, manage.Actor{Name: "cli:" + operatingUser()})
	return errors.Join(do(ctx, house), house.Close())
}

// inOrganization opens the house and does something in the organization that --org names.
func (p *program) inOrganization(cmd *cobra.Command, do func(context.Context, *server.House, *tenant.Org) error) error {
	return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
		slug, err := cmd.Flags().GetString("org")
		if err != nil {
			return err
		}
		if slug == "" {
			slug = house.Cfg.RootOrganization
		}
		if slug == "" {
			return usage("--org is needed: no root_organization is configured")
		}
		org, err := house.Managed(ctx, slug)
		if errors.Is(err, storage.ErrNotFound) {
			return notFound("organization %q does not exist", slug)
		}
		if err != nil {
			return fmt.Errorf("find organization: %w", err)
		}
		return do(tenant.With(ctx, org), house, org)
	})
}

// orgFlag gives a group of commands the flag --org.
func orgFlag(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().String("org", "", "slug of the organization (default: root_organization)")
	return cmd
}

// quietLog is for commands that answer on stdout: they mention only what is amiss, unless debugging is asked for.
func (p *program) quietLog(cfg *config.Config) *slog.Logger {
	level := slog.LevelWarn
	if cfg.Log.Level == "debug" {
		level = slog.LevelDebug
	}
	return p.newLog(cfg.Log.Format, level)
}

// operatingUser is who types commands, for the audit.
func operatingUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}
