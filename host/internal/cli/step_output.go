package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) stepDiff() *cobra.Command {
	var stat bool
	cmd := s.leaf(leaf{
		use: "diff", args: []string{"STEP"}, short: "Print what the newest attempt of a step changed",
		long: `Prints the recorded diff against the base commit, as the host captured it. Into a pipe or file it is
the exact patch; on a terminal it is coloured and made safe. STEP may be an attempt.`,
		example: "drawspan step diff step_01JD0Q8Z3V | git apply --check",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := newestAttempt(ctx, c, args[0])
			if err != nil {
				return err
			}
			if _, err := s.markSimulated(ctx, c, id); err != nil {
				return err
			}
			if stat || s.g.json {
				return s.diffStat(ctx, c, id)
			}
			return s.diffPatch(ctx, c, id)
		},
	})
	cmd.Flags().BoolVar(&stat, "stat", false, "only which files, and by how much")
	return cmd
}

func (s *shell) diffStat(ctx context.Context, c *client.Client, id string) error {
	a, err := client.Call[api.Attempt](ctx, c, api.OpAttemptGet, api.AttemptRef{AttemptID: id})
	if err != nil {
		return err
	}
	ev, ok := attemptDiff(&a)
	if !ok {
		return fault.New(fault.NotFound, "the attempt has no recorded diff; it is %s", a.State).At(id).
			Fix("run: drawspan attempt show %s", id)
	}
	paths := idsOf(ev.Diff.Files, func(f fileChange) string { return term.Line(f.Path) })
	return s.show(a.Evidence, paths, func(p *page) { p.lines = p.diffSummary(ev.Diff) })
}

func (s *shell) diffPatch(ctx context.Context, c *client.Client, id string) error {
	body, err := c.Stream(ctx, api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: id, Name: "diff.patch"})
	if err != nil {
		return err
	}
	defer body.Close()
	if !s.out.profile.TTY {
		return s.pour(body)
	}
	in := bufio.NewReader(body)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			if werr := s.print([]string{s.out.patchLine(strings.TrimSuffix(line, "\n"))}); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// patchLine colours a line of a unified diff.
func (l look) patchLine(line string) string {
	clean := strings.ReplaceAll(term.Text(line), "\n", "␍")
	switch {
	case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "+++ "), strings.HasPrefix(line, "--- "):
		return l.Paint(term.Strong, clean)
	case strings.HasPrefix(line, "@@"):
		return l.Paint(term.Busy, clean)
	case strings.HasPrefix(line, "+"):
		return l.Paint(term.Good, clean)
	case strings.HasPrefix(line, "-"):
		return l.Paint(term.Bad, clean)
	}
	return clean
}

// logOptions are the flags of the two logs commands.
type logOptions struct {
	follow bool
	stream string
	events bool
	agent  bool // the executor drives a program: lines of JSON on its standard output are a protocol
	live   bool // the attempt had not ended when it was looked at
}

func (s *shell) stepLogs() *cobra.Command {
	return s.logsCommand("STEP", "Print what a step's newest attempt wrote and did",
		"drawspan step logs step_01JD0Q8Z3V --follow")
}

// logsCommand is step logs and attempt logs.
func (s *shell) logsCommand(arg, short, example string) *cobra.Command {
	var o logOptions
	cmd := s.leaf(leaf{
		use: "logs", args: []string{arg}, short: short,
		long: `Prints the attempt's output in order, while it runs with --follow. Of an agent, whose output is a
protocol, it prints what the agent says and does. --stream stdout or stderr prints only that stream, as
it is; --events adds messages, tools and what the host saw; --jsonl prints the recorded events as they
are. What the executor writes is its claim, not evidence.`,
		example: example,
		run: func(ctx context.Context, args []string) error {
			if o.stream != "" && o.stream != "stdout" && o.stream != "stderr" {
				return usage("--stream is stdout or stderr, not %q", o.stream)
			}
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			find := newestAttempt
			if o.follow {
				find = awaitedAttempt
			}
			id, err := find(ctx, c, args[0])
			if err != nil {
				return err
			}
			a, err := s.markSimulated(ctx, c, id)
			if err != nil {
				return err
			}
			o.agent, o.live = drivesProgram(a), a.State != "ended"
			return s.logs(ctx, c, id, o)
		},
	})
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the attempt has ended")
	cmd.Flags().StringVar(&o.stream, "stream", "", "only `STREAM`: stdout or stderr")
	cmd.Flags().BoolVar(&o.events, "events", false, "also messages, tools and what the host saw")
	return cmd
}

func (s *shell) logs(ctx context.Context, c *client.Client, id string, o logOptions) error {
	body, err := c.Stream(ctx, api.OpAttemptStream, api.StreamRequest{AttemptID: id, Follow: o.follow})
	if err != nil {
		return err
	}
	defer body.Close()
	if s.g.json {
		return s.logDocument(id, body)
	}
	out := logPrinter{s: s, o: o, clean: term.NewCleaner(s.io.Out)}
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if werr := out.line(line); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			s.sayIfSilent(&out, id)
			return out.end()
		}
		if err != nil {
			return err
		}
	}
}

// sayIfSilent says that there was nothing to print: an empty answer looks like a fault of the command.
func (s *shell) sayIfSilent(p *logPrinter, id string) {
	if p.wrote {
		return
	}
	text := "attempt " + id + " wrote nothing"
	if p.o.stream != "" {
		text += " to " + p.o.stream
	}
	switch {
	case p.o.live && !p.o.follow:
		text += " so far; go on with it: " + s.talk.command("drawspan attempt logs "+id+" --follow")
	case !p.o.events:
		text += "; what it did: " + s.talk.command("drawspan attempt logs "+id+" --events")
	}
	s.say(text)
}

// logDocument is the whole stream as one document.
func (s *shell) logDocument(id string, body io.Reader) error {
	events := []streamLine{}
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if l, _, ok := parseStream(line); ok {
			events = append(events, l)
		}
		if err == io.EOF {
			return s.document(map[string]any{"attempt_id": id, "events": events})
		}
		if err != nil {
			return err
		}
	}
}

// logPrinter prints a stream: raw output into a pipe, cleaned onto a terminal.
type logPrinter struct {
	s     *shell
	o     logOptions
	clean *term.Cleaner
	wrote bool // anything
	cut   bool // the last piece of a protocol ended inside of a line
}

func (p *logPrinter) line(line []byte) error {
	l, d, ok := parseStream(line)
	switch {
	case p.s.g.jsonl:
		p.wrote = true
		_, err := p.s.io.Out.Write(append(escaped(bytes.TrimSpace(line)), '\n'))
		return written(err)
	case !ok:
		return nil
	case l.Type == "log":
		return p.output(d)
	case p.o.stream != "":
		return nil
	case l.Type == "message" && d.Role != "user":
		return p.bytes(strings.TrimRight(d.Text, "\n") + "\n")
	case (p.o.events || p.o.agent) && l.Type != "message.delta" && l.Type != "thought.delta":
		if text := eventWords(l.Type, d); text != "" {
			return p.bytes(fmt.Sprintf("[%s] %s\n", term.Line(l.Type), text))
		}
	}
	return nil
}

func (p *logPrinter) output(d streamData) error {
	if p.spoken(d) || p.o.stream != "" && p.o.stream != d.Stream {
		return nil
	}
	return p.bytes(d.Text)
}

// spoken says that a piece of output is what an agent's adapter has made events of.
func (p *logPrinter) spoken(d streamData) bool {
	if !p.o.agent || p.o.stream != "" || d.Stream == "stderr" {
		return false
	}
	hidden := p.cut || strings.HasPrefix(strings.TrimLeft(d.Text, " \r\n"), "{")
	p.cut = hidden && !strings.HasSuffix(d.Text, "\n")
	return hidden
}

func (p *logPrinter) bytes(text string) error {
	p.wrote = p.wrote || text != ""
	if !p.s.out.profile.TTY {
		_, err := io.WriteString(p.s.io.Out, text)
		return written(err)
	}
	_, err := io.WriteString(p.clean, text)
	return written(err)
}

func (p *logPrinter) end() error { return written(p.clean.Flush()) }
