package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what this program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"commit_time,omitempty"`
	Dirty    bool   `json:"dirty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// version is this program's build, from the linker or from what the go command recorded.
func (s *shell) version() build {
	b := build{Version: s.app.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, kv := range info.Settings {
			switch kv.Key {
			case "vcs.revision":
				b.Commit = kv.Value
			case "vcs.time":
				b.Time = kv.Value
			case "vcs.modified":
				b.Dirty = kv.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

func (s *shell) versionCommand() *cobra.Command {
	return s.leaf(leaf{
		use: "version", short: "Print the version of this program", example: "drawspan version --json",
		long: "Prints version, commit and toolchain of this program. The daemon's are in: drawspan doctor.",
		run: func(context.Context, []string) error {
			b := s.version()
			return s.show(b, []string{b.Version}, func(p *page) {
				dirty := ""
				if b.Dirty {
					dirty = "modified"
				}
				p.line("drawspan "+b.Version, commit(b.Commit), dirty, b.Go, b.Platform)
			})
		},
	})
}
