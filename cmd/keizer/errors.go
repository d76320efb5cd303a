package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keizer-auth/keizer/internal/nearest"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// The exit codes, which programs rely on.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitConflict = 4
	// exitChanges is that of a dry run which found something to change, where that is asked for.
	exitChanges = 5
)

// exit is an error that knows the exit code it ends with.
type exit struct {
	code  int
	cause error
}

func (e *exit) Error() string { return e.cause.Error() }
func (e *exit) Unwrap() error { return e.cause }

func usage(format string, args ...any) error { return wrong(fmt.Errorf(format, args...)) }
func notFound(format string, args ...any) error {
	return &exit{exitNotFound, fmt.Errorf(format, args...)}
}
func wrong(err error) error  { return &exit{exitUsage, err} }
func failed(err error) error { return &exit{exitFailed, err} }

// exitCode maps what the rooms of the house answer to the codes of the process.
func exitCode(err error) int {
	var known *exit
	switch {
	case errors.As(err, &known):
		return known.code
	case len(manage.Complaints(err)) > 0:
		return exitUsage
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, keys.ErrUnknownKey):
		return exitNotFound
	case errors.Is(err, storage.ErrConflict):
		return exitConflict
	case errors.Is(err, context.Canceled):
		return exitFailed
	}
	return exitFailed
}

// notOpened is why the house could not be opened. Whatever was not found or in conflict on the way, it is not what was asked
// about; but a master key that is none, or another's, or a file that is no database, is a wrong thing to have been given.
func notOpened(err error) error {
	if errors.Is(err, storage.ErrWrongMasterKey) {
		return usage("master_key: %w", storage.ErrWrongMasterKey)
	}
	for _, spoilt := range []error{seal.ErrEmptyKey, seal.ErrKeyForm, seal.ErrWeakKey, seal.ErrPhraseKey, storage.ErrDamaged} {
		if errors.Is(err, spoilt) {
			return wrong(err)
		}
	}
	return failed(err)
}

// sentences are what an error says, one by one. Errors that were joined stand on lines of their own; what is indented goes on
// with the line before.
func sentences(err error) []string {
	return strings.FieldsFunc(strings.ReplaceAll(err.Error(), "\n\t", " "), func(r rune) bool { return r == '\n' })
}

func unknownCommand(cmd *cobra.Command, name string) error {
	names := func(yield func(string) bool) {
		for _, c := range cmd.Commands() {
			if !c.Hidden && !yield(c.Name()) {
				return
			}
		}
	}
	return usage("unknown command %q for %s%s", name, cmd.CommandPath(), meant(nearest.Name(name, names)))
}

// flagError makes one sentence of what the flag parser says.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usage("%w (%s)", err, cmd.CommandPath())
	}
	given := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return usage("unknown flag -%s for %s", given, cmd.CommandPath())
	}
	best := ""
	names := func(yield func(string) bool) {
		done := false
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if strings.HasPrefix(f.Name, given+"-") {
				best = f.Name // --password means --password-stdin
			}
			done = done || !yield(f.Name)
		})
	}
	if near := nearest.Name(given, names); best == "" {
		best = near
	}
	if best != "" {
		best = "--" + best
	}
	return usage("unknown flag --%s for %s%s", given, cmd.CommandPath(), meant(best))
}

func meant(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

// takes checks that a command is given just the arguments that are named, such as "SLUG".
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " "))
		case len(args) > len(names) && len(names) == 0:
			return usage("%s takes no arguments, but was given %q", cmd.CommandPath(), args[0])
		case len(args) > len(names):
			return usage("%s takes %s only, but was given %q as well", cmd.CommandPath(), strings.Join(names, " "), args[len(names)])
		}
		return nil
	}
}
