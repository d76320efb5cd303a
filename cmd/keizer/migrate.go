package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/migrations"
	"github.com/keizer-auth/keizer/storage"
)

// migrate is `keizer migrate`: the schema of the database.
func (p *program) migrate() *cobra.Command {
	return group("migrate", "Bring the database to the schema of this release", p.migrateUp(), p.migrateStatus())
}

func (p *program) migrateUp() *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Apply pending migrations", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.onDatabase(cmd, func(ctx context.Context, db *storage.DB) error {
				applied, err := db.Migrate(ctx)
				if err != nil {
					return fmt.Errorf("migrate: %w", err)
				}
				return p.show(map[string]int{"applied": applied}, field{"applied", strconv.Itoa(applied)})
			})
		},
	}
}

type migrationRow struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"applied_at"` // null while pending
}

func (m migrationRow) cells() []string {
	applied := "pending"
	if m.AppliedAt != nil {
		applied = date(m.AppliedAt)
	}
	return []string{strconv.FormatInt(m.Version, 10), m.Name, applied}
}

func (p *program) migrateStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show which migrations were applied, and when", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if missing, err := p.noDatabaseFile(cmd); missing || err != nil {
				if err != nil {
					return err
				}
				all, err := migrations.All(migrations.SQLite)
				if err != nil {
					return fmt.Errorf("look at migrations: %w", err)
				}
				return list(p, []string{"VERSION", "NAME", "APPLIED"}, once(migrationRows(all)))
			}
			return p.onDatabase(cmd, func(ctx context.Context, db *storage.DB) error {
				all, err := db.MigrationStatus(ctx)
				if err != nil {
					return fmt.Errorf("look at migrations: %w", err)
				}
				return list(p, []string{"VERSION", "NAME", "APPLIED"}, once(migrationRows(all)))
			})
		},
	}
}

// noDatabaseFile reports whether the database is an SQLite file that does not exist. Opening it would make it, and whoever asks how a
// database is does not ask for one.
func (p *program) noDatabaseFile(cmd *cobra.Command) (bool, error) {
	cfg, err := p.load(cmd)
	if err != nil {
		return false, err
	}
	path, ok := strings.CutPrefix(cfg.Database.URL.Reveal(), "sqlite:")
	if !ok {
		return false, nil
	}
	_, err = os.Stat(path)
	return errors.Is(err, fs.ErrNotExist), nil
}

func migrationRows(all []migrations.Migration) []migrationRow {
	rows := make([]migrationRow, len(all))
	for i, m := range all {
		rows[i] = migrationRow(m)
	}
	return rows
}

// onDatabase opens the database as it is. The house is not opened, for that would migrate it.
func (p *program) onDatabase(cmd *cobra.Command, do func(context.Context, *storage.DB) error) error {
	cfg, err := p.load(cmd)
	if err != nil {
		return err
	}
	keyring, err := cfg.Keyring()
	if err != nil {
		return notOpened(err)
	}
	db, err := storage.Open(cmd.Context(), storage.Options{
		URL: cfg.Database.URL.Reveal(), Keyring: keyring, Log: p.quietLog(cfg), Pooler: cfg.Database.Pooler, MaxConns: cfg.Database.MaxConns,
	})
	if err != nil {
		return failed(err)
	}
	defer db.Close()
	return do(cmd.Context(), db)
}
