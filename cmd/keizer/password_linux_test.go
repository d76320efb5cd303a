package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: a person's end and a program's end.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func TestAPasswordIsAskedForTwiceAndNotEchoed(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{
		{"correct horse", "correct horse", ""},
		{"correct horse", "correct house", "the two passwords differ"},
	} {
		person, tty := terminal(t)
		questions, asked := io.Pipe()
		p := &program{stdin: tty, stderr: asked}
		go func() {
			// Whoever types ahead of the question is echoed, as with every program; so wait for it.
			for _, answer := range []string{c.first, c.second} {
				question := make([]byte, len("Password: "))
				n, _ := questions.Read(question)
				if !strings.HasSuffix(string(question[:n]), ": ") {
					t.Errorf("asked %q", question[:n])
				}
				waitForSilence(t, tty)
				fmt.Fprintln(person, answer)
				_, _ = questions.Read(question) // the newline after the answer
			}
			_, _ = io.Copy(io.Discard, questions)
		}()
		cmd := passwordFlag(&cobra.Command{})
		cmd.SetContext(t.Context())
		got, err := p.readPassword(cmd)
		asked.Close()
		if c.want == "" && (err != nil || got.Reveal() != c.first) || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("got %q, %v", got.Reveal(), err)
		}
		if _, err := tty.WriteString("\nend"); err != nil {
			t.Fatal(err)
		}
		seen := make([]byte, 1024)
		n, err := person.Read(seen)
		if err != nil || strings.Contains(string(seen[:n]), "correct") {
			t.Errorf("the terminal shows %q, %v", seen[:n], err)
		}
	}
}

func TestWhoGivesNoPasswordHasTheirTerminalBack(t *testing.T) {
	_, tty := terminal(t)
	p := &program{stdin: tty, stderr: io.Discard}
	ctx, interrupt := context.WithCancel(t.Context())
	cmd := passwordFlag(&cobra.Command{})
	cmd.SetContext(ctx)
	go func() {
		waitForSilence(t, tty)
		interrupt()
	}()
	_, err := p.readPassword(cmd)
	if err == nil || err.Error() != "no password was given" || exitCode(err) != exitFailed {
		t.Errorf("%v", err)
	}
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || state.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal shows nothing any more: %v", err)
	}
}

// waitForSilence waits until the terminal has stopped to echo.
func waitForSilence(t *testing.T, tty *os.File) {
	for {
		state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Error(err)
			return
		}
		if state.Lflag&unix.ECHO == 0 {
			return
		}
	}
}
