package dispatch

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/permission"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Bounds of what one attempt asks.
const (
	maxDeniedFacts = 100              // denials that are in the log one by one; the rest are in the count
	maxApprovals   = 500              // questions and requests that people are asked
	maxRequested   = 20000            // requests in all
	inputWithin    = 10 * time.Second // a plugin that takes no answer for so long is not waited for
)

// Who decided a request, beside the kinds of actors.
const (
	byPolicy   = "policy"
	byDeadline = "deadline"
	byCancel   = "cancel"
)

// permit answers a permission request by the rules, or lets a person answer.
func (a *drive) permit(ctx context.Context, e sdk.Event) error {
	p, err := sdk.PermissionOf(e)
	if err != nil {
		return fault.New(fault.PluginProtocol, "a permission without an id, a tool or with malformed data")
	}
	if n := a.counted(func(c *work.Permissions) { c.Requested++ }); n.Requested > maxRequested {
		return fault.New(fault.PluginProtocol, "more than %d permission requests", maxRequested)
	}
	ruling := permission.Decide(a.ex.Permissions, a.tree.Path(), p)
	d := decided{item: p.ID, tool: permission.Kind(p.Tool), rule: ruling.Rule, declared: ruling.Declared, by: byPolicy}
	switch {
	case a.halted():
		d.by, d.rule, d.declared, d.state = byCancel, "", "", work.ApprovalDenied
	case ruling.Decision == permission.Allow:
		d.state = work.ApprovalAllowed
	case ruling.Decision == permission.Deny:
		d.state = work.ApprovalDenied
		a.noteDenied(ctx, p, d)
	default:
		return a.ask(ctx, question{kind: work.ApprovalPermission, item: p.ID, prompt: promptOf(p, a.tree.Path()), permission: d})
	}
	a.resolved(d)
	a.tell(ctx, d)
	return nil
}

// decided is how a permission request came out.
type decided struct {
	item, tool string
	state      work.ApprovalState
	by         string // policy, the kind of an actor, deadline, cancel
	rule       string // the rule that decided, or that had a person asked
	declared   string
	approval   string
}

// word is the decision as the stream has it.
func (d decided) word() string {
	switch {
	case d.state == work.ApprovalAllowed:
		return "allow"
	case d.by == byDeadline || d.by == byCancel:
		return "expired"
	}
	return "deny"
}

// who is what the executor is told of it: no path of the host.
func (d decided) who() string {
	if d.by == byPolicy {
		return "rule " + d.rule
	}
	return d.by
}

// resolved puts a decision into the stream and counts it.
func (a *drive) resolved(d decided) {
	a.counted(func(c *work.Permissions) {
		if d.by == byPolicy {
			c.ByRule++
		}
		switch d.word() {
		case "allow":
			c.Allowed++
		case "expired":
			c.Expired++
		default:
			c.Denied++
		}
	})
	data := map[string]string{"decision": d.word(), "state": string(d.state), "decided_by": d.by, "tool": d.tool}
	for key, value := range map[string]string{"rule": d.rule, "declared": shared(d.declared), "approval_id": d.approval} {
		if value != "" {
			data[key] = value
		}
	}
	a.note(sdk.Event{Type: sdk.EventPermissionSolved, ItemID: d.item, Data: jsonOf(data)})
}

// shared is a place of the configuration, "file:line", for a stream that may leave this host: the file's name
// alone. The log has the whole place.
func shared(declared string) string {
	if declared == "" {
		return ""
	}
	return filepath.Base(declared)
}

// tell carries a decision to the executor.
func (a *drive) tell(ctx context.Context, d decided) {
	a.input(ctx, d.item, sdk.Answer{}, sdk.Decision{Allowed: d.state == work.ApprovalAllowed, Rule: d.who()})
}

// input answers the executor. One that does not take the answer is stopped by its time, not by this; one that is
// being stopped waits for none any more.
func (a *drive) input(ctx context.Context, item string, answer sdk.Answer, decision sdk.Decision) {
	bounded, done := context.WithTimeout(ctx, inputWithin)
	defer done()
	if err := a.plugin.Input(bounded, item, answer, decision); err != nil && ctx.Err() == nil && !a.halted() {
		a.d.report(ctx, "carry the answer to the executor", err, "attempt", a.at.ID)
	}
}

// note puts an event of the host into the stream.
func (a *drive) note(e sdk.Event) {
	if err := a.journal.Append("host", e); err != nil {
		a.d.opt.Log.Debug("event not journalled", "attempt", a.at.ID, "type", string(e.Type), "error", err)
	}
}

// counted changes the counts and answers with them.
func (a *drive) counted(change func(*work.Permissions)) work.Permissions {
	a.tally.Lock()
	defer a.tally.Unlock()
	change(&a.permissions)
	return a.permissions
}

// noteDenied writes a denial by rule into the log, where decisions of people are too.
func (a *drive) noteDenied(ctx context.Context, p sdk.Permission, d decided) {
	if a.counted(func(*work.Permissions) {}).Denied >= maxDeniedFacts {
		return
	}
	err := a.d.opt.Record.Apply(ctx, work.Fact{
		Kind: "permission.denied", Actor: daemonActor(), RunID: a.at.RunID, StepID: a.at.StepID, AttemptID: a.at.ID, At: a.d.now(),
		Body: map[string]any{"tool": d.tool, "asked": clipped(promptOf(p, a.tree.Path()), maxFactText), "rule": d.rule, "declared": d.declared},
	})
	if err != nil {
		a.d.report(ctx, "record a denied permission", err, "attempt", a.at.ID)
	}
}

// maxFactText is how much of a request a fact keeps, in bytes.
const maxFactText = 1 << 10

// The bounds of a prompt's parts.
const (
	maxTitle  = 1 << 10 // in bytes
	mostPaths = 20
)

// promptOf is a request in the words that a person decides by: all of the command, as it is, and the paths,
// those below the tree as they are in the repository. The title is the executor's own words and stands on a
// line of its own: it takes the place of a command or a path only where it says nothing else.
func promptOf(p sdk.Permission, tree string) string {
	p.Title = strings.TrimSpace(p.Title)
	_, object, _ := strings.Cut(p.Title, " ")
	titled, objective := strings.Trim(p.Title, "`"), strings.TrimPrefix(strings.Trim(object, "`"), tree+"/")
	var lines []string
	if p.Command != "" && titled == p.Command {
		lines = append(lines, p.Tool+": "+p.Command)
	} else {
		if p.Command == "" {
			p.Title = strings.ReplaceAll(p.Title, tree+"/", "")
		}
		title := clipped(strings.Join(strings.Fields(p.Title), " "), maxTitle)
		lines = append(lines, strings.TrimRight(p.Tool+": "+title, ": "))
		if p.Command != "" {
			lines = append(lines, "command: "+p.Command)
		}
	}
	for i, path := range p.Paths {
		path = strings.TrimPrefix(path, tree+"/")
		switch {
		case i == mostPaths:
			lines = append(lines, fmt.Sprintf("and %d more paths", len(p.Paths)-mostPaths))
		case i < mostPaths && (len(p.Paths) > 1 || path != objective):
			lines = append(lines, "path: "+path)
		}
	}
	return noted(strings.Join(lines, "\n"))
}

// noted is a prompt that says so where it is not the whole.
func noted(prompt string) string {
	const room = 64 // for saying it
	if len(prompt) <= maxPrompt {
		return prompt
	}
	kept := clipped(prompt, maxPrompt-room)
	return fmt.Sprintf("%s\nand %d more bytes that are not shown", kept, len(prompt)-len(kept))
}

// clipped is at most n bytes of text, cut between characters.
func clipped(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
