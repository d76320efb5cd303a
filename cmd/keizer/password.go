package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
)

// passwordFlag gives a command --password-stdin. There is no --password: arguments are seen by everybody on the machine and
// kept by the shell.
func passwordFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("password-stdin", false, "read the password from standard input instead of asking for it")
	return cmd
}

// readPassword reads a new password: from standard input if it is asked to, else from the terminal, twice and unseen.
func (p *program) readPassword(cmd *cobra.Command) (secret.Text, error) {
	stdin, err := cmd.Flags().GetBool("password-stdin")
	if err != nil {
		return "", err
	}
	if stdin {
		return readSecret(p.stdin)
	}
	terminal, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return "", usage("there is no terminal to ask for the password at: give it on standard input, with --password-stdin")
	}
	first, err := p.ask(cmd.Context(), terminal, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := p.ask(cmd.Context(), terminal, "Again: ")
	if err != nil {
		return "", err
	}
	if !secret.Equal(first.Reveal(), second.Reveal()) {
		return "", wrong(errors.New("the two passwords differ"))
	}
	return first, nil
}

// ask asks a question, and does not show the answer. Who gives up (Ctrl-C) finds the terminal as it was.
func (p *program) ask(ctx context.Context, terminal *os.File, question string) (secret.Text, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	fmt.Fprint(p.stderr, question)
	defer fmt.Fprintln(p.stderr)
	type answer struct {
		text []byte
		err  error
	}
	given := make(chan answer, 1)
	go func() { // a terminal cannot be told to stop waiting; this one ends with the process
		text, err := term.ReadPassword(fd)
		given <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", failed(errors.Join(errors.New("no password was given"), term.Restore(fd, before)))
	case got := <-given:
		if got.err != nil {
			return "", fmt.Errorf("read password: %w", got.err)
		}
		return secret.Text(got.text), nil
	}
}

// readSecret reads a stream to its end, and leaves out the newline that an echo adds.
func readSecret(r io.Reader) (secret.Text, error) {
	content, err := io.ReadAll(io.LimitReader(r, password.MaxLength+3))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	text, cut := strings.CutSuffix(string(content), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	return secret.Text(text), nil
}
