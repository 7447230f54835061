package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

// shell is one invocation: where it reads and writes, its global flags, its way to the daemon.
type shell struct {
	app  App
	io   Streams
	g    globals
	now  time.Time // when it began; views that do not tick measure against it
	root *cobra.Command
	path string // of the command that was run
	// ran is set when a command's own code began: errors before that are wrong usage.
	ran bool
	// told is set when the one document of --json was printed.
	told bool
	out  look // what stdout can show
	talk look // what stderr can show
}

// globals are the flags of every command.
type globals struct {
	config    []string
	vars      []string
	varFiles  []string
	socket    string
	address   string
	tokenFile string
	json      bool
	jsonl     bool
	quiet     bool
	noColor   bool
}

// globalFlag names a global flag and its twin in the environment.
type globalFlag struct{ name, env string }

// globalFlags lists them all; a test holds it equal to the flags of the root command.
var globalFlags = []globalFlag{
	{"config", "DRAWSPAN_CONFIG"},
	{"var", "DRAWSPAN_VAR_<name>"},
	{"var-file", "DRAWSPAN_VAR_FILE"},
	{"socket", "DRAWSPAN_SOCKET"},
	{"address", "DRAWSPAN_ADDRESS"},
	{"token-file", "DRAWSPAN_TOKEN_FILE"},
	{"json", "DRAWSPAN_JSON"},
	{"jsonl", "DRAWSPAN_JSONL"},
	{"quiet", "DRAWSPAN_QUIET"},
	{"no-color", "NO_COLOR"},
}

// Run does one invocation and answers with its exit code.
func (a App) Run(ctx context.Context, streams Streams, args []string) int {
	s := &shell{app: a, io: streams, now: streams.Began}
	if s.now.IsZero() {
		s.now = time.Now()
	}
	s.look()
	s.root = s.tree()
	s.root.SetArgs(hashicorpFlags(args))
	s.root.SetIn(streams.In)
	s.root.SetOut(streams.Out)
	s.root.SetErr(streams.Err)
	cmd, err := s.root.ExecuteContextC(ctx)
	s.path = cmd.CommandPath()
	if err == nil {
		return fault.ExitOK
	}
	return s.fail(ctx, err, args)
}

// look asks the outputs what they can show. It is done again once the flags are known.
func (s *shell) look() {
	s.out = newLook(term.Detect(s.io.OutFD, s.io.Env, s.g.noColor))
	s.talk = newLook(term.Detect(s.io.ErrFD, s.io.Env, s.g.noColor))
}

// prepare applies the environment to flags that were not given, and checks the global flags.
func (s *shell) prepare(cmd *cobra.Command) error {
	for _, g := range globalFlags {
		flag := cmd.Flags().Lookup(g.name)
		value := s.io.Env(g.env)
		if flag == nil || flag.Changed || value == "" || g.name == "var" || g.name == "no-color" {
			continue
		}
		values := []string{value}
		if g.name == "config" || g.name == "var-file" {
			values = filepath.SplitList(value)
		}
		for _, v := range values {
			if err := flag.Value.Set(v); err != nil {
				return usage("%s: %q is no value for --%s", g.env, v, g.name)
			}
		}
	}
	if s.g.json && s.g.jsonl {
		return usage("--json and --jsonl exclude each other")
	}
	s.look()
	return nil
}

// do wraps the code of a command.
func (s *shell) do(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := s.prepare(cmd); err != nil {
			return err
		}
		s.ran = true
		return run(cmd.Context(), args)
	}
}

// source is what the configuration is to be loaded from.
func (s *shell) source() config.Source {
	src := config.Source{
		Paths: s.configPaths(), VarFiles: s.g.varFiles, Env: s.io.Env, Home: s.io.Home, Dir: s.io.Dir,
		Vars: map[string]string{},
	}
	for _, v := range s.g.vars {
		name, value, _ := strings.Cut(v, "=")
		src.Vars[name] = value
	}
	return src
}

// configPaths are the files named by flag or environment, else the first default that exists.
func (s *shell) configPaths() []string {
	if len(s.g.config) > 0 {
		return s.g.config
	}
	for _, path := range s.defaultConfigs() {
		if _, err := os.Stat(path); err == nil {
			return []string{path}
		}
	}
	return nil
}

func (s *shell) defaultConfigs() []string {
	return []string{
		filepath.Join(s.io.Dir, "drawspan.hcl"),
		filepath.Join(s.io.Home, ".config", "drawspan", "drawspan.hcl"),
	}
}

// load reads the configuration; a missing or broken one is an error that names every problem.
func (s *shell) load() (*config.Config, error) { return s.loadFrom(s.source()) }

// loadPlugins reads it for what it says of plugins: the workspaces' roots need not be on this machine.
func (s *shell) loadPlugins() (*config.Config, error) {
	src := s.source()
	src.Elsewhere = true
	return s.loadFrom(src)
}

func (s *shell) loadFrom(src config.Source) (*config.Config, error) {
	if len(src.Paths) == 0 {
		return nil, fault.New(fault.ConfigInvalid, "no configuration found").
			At(strings.Join(s.defaultConfigs(), ", ")).
			Fix("write drawspan.hcl here, or name one: drawspan --config FILE ...")
	}
	cfg, diags := config.Load(src)
	if diags.HasErrors() {
		return nil, diagnosed{diags}
	}
	return cfg, nil
}

// socketPath is where the daemon listens: flag, environment, the configuration's state directory, the
// default one. A configuration that does not load is passed over here; validate tells what is wrong.
func (s *shell) socketPath() string {
	if s.g.socket != "" {
		return s.absolute(s.g.socket)
	}
	state := filepath.Join(s.io.Home, ".local", "state", "drawspan")
	if src := s.source(); len(src.Paths) > 0 {
		if cfg, _ := config.Load(src); cfg != nil && cfg.Daemon.StateDir != "" {
			state = cfg.Daemon.StateDir
		}
	}
	return filepath.Join(state, "run", "drawspan.sock")
}

func (s *shell) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(s.io.Dir, path)
}

// dial makes the client. Nothing is sent before the first call.
func (s *shell) dial() (*client.Client, error) {
	o := client.Options{Name: "cli", Patience: s.io.Patience}
	if s.g.address == "" {
		o.Socket = s.socketPath()
		return client.Open(o), nil
	}
	o.Address = s.g.address
	o.Token = s.io.Env("DRAWSPAN_TOKEN")
	if s.g.tokenFile != "" {
		b, err := os.ReadFile(s.absolute(s.g.tokenFile))
		if err != nil {
			return nil, unreadable(s.g.tokenFile, err)
		}
		o.Token = strings.TrimSpace(string(b))
	}
	return client.Open(o), nil
}

// ask is one call over a new client.
func ask[Resp any](ctx context.Context, s *shell, op api.Op, req any) (Resp, error) {
	c, err := s.dial()
	if err != nil {
		var none Resp
		return none, err
	}
	defer c.Close()
	return client.Call[Resp](ctx, c, op, req)
}

// text is an argument that may be "-" (standard input) or @file.
func (s *shell) text(arg string) (string, error) {
	var b []byte
	var err error
	switch {
	case arg == "-":
		b, err = io.ReadAll(io.LimitReader(s.io.In, api.MaxText+1))
	case strings.HasPrefix(arg, "@"):
		b, err = readAtMost(s.absolute(arg[1:]), api.MaxText+1)
	default:
		b = []byte(arg)
	}
	if err != nil {
		return "", unreadable(strings.TrimPrefix(arg, "@"), err)
	}
	if len(b) > api.MaxText {
		return "", fault.New(fault.TooLarge, "the text is longer than %s", bytesOf(api.MaxText)).
			Fix("put the bulk into a file of the repository and name it in the text")
	}
	if strings.TrimSpace(string(b)) == "" {
		return "", usage("the text is empty")
	}
	return string(b), nil
}

func readAtMost(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, n))
}

// unreadable is a file that an argument names and that cannot be read.
func unreadable(path string, err error) error {
	code := fault.InvalidRequest
	if errors.Is(err, os.ErrNotExist) {
		code = fault.NotFound
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fault.New(code, "cannot read %s: %s", path, err).At(path).Fix("correct the name, or make the file readable")
}

// usage is a wrong invocation.
func usage(format string, args ...any) *fault.Fault {
	return fault.New(fault.InvalidRequest, "%s", fmt.Sprintf(format, args...))
}
