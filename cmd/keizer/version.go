package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is what this binary was built of.
type release struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// version is `keizer version`.
func (p *program) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which release this is", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			r := readRelease()
			return p.show(r, field{"keizer", r.Version}, field{"revision", r.Revision}, field{"of", r.Time}, field{"go", r.Go}, field{"platform", r.Platform})
		},
	}
}

// readRelease reads what the Go command wrote into the binary, so that no build has to be told its own version.
func readRelease() release {
	r := release{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r
	}
	if info.Main.Version != "" {
		r.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			r.Revision = setting.Value
		case "vcs.time":
			r.Time = setting.Value
		case "vcs.modified":
			r.Modified = setting.Value == "true"
		}
	}
	return r
}
