package main

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLog makes the process's logger: JSON for machines, or lines for people, coloured where a terminal reads them. Times are
// UTC either way, so that the lines of two replicas can be laid beside one another.
func (p *program) newLog(format string, level slog.Level) *slog.Logger {
	w := p.stderr
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: inUTC}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level: level, ReplaceAttr: inUTC, TimeFormat: "15:04:05.000Z", NoColor: !isTerminal(w) || p.env("NO_COLOR") != "",
	}))
}

// env returns a variable of the environment, "" where it is not set.
func (p *program) env(name string) string {
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

func inUTC(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 && a.Value.Kind() == slog.KindTime {
		return slog.Time(a.Key, a.Value.Time().UTC().Truncate(time.Microsecond))
	}
	return a
}

func logLevel(name string) slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(name)) // validated by package config; info otherwise
	return level
}

// isTerminal reports whether something reads or writes a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
