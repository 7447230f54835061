package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// started is the system line that opens a turn.
type started struct {
	Session string   `json:"session_id"`
	Model   string   `json:"model"`
	Mode    string   `json:"permissionMode"`
	Tools   []string `json:"tools"`
	Dir     string   `json:"cwd"`
	Version string   `json:"claude_code_version"`
}

// notice are the other system lines.
type notice struct {
	Mode       string  `json:"permissionMode"`
	Attempt    int     `json:"attempt"`
	Max        int     `json:"max_retries"`
	Delay      float64 `json:"retry_delay_ms"`
	HTTPStatus int     `json:"error_status"`
	Error      string  `json:"error"`
	TaskID     string  `json:"task_id"`
	ToolID     string  `json:"tool_use_id"`
	About      string  `json:"description"`
	Status     string  `json:"status"`
	Summary    string  `json:"summary"`
}

func (r *reader) system(line []byte, subtype string) bool {
	if subtype == "init" {
		return r.opened(line)
	}
	var n notice
	if json.Unmarshal(line, &n) != nil {
		return false
	}
	switch subtype {
	case "status":
		if n.Mode != "" {
			r.Event(sdk.EventModeChanged, "", "", map[string]string{"mode": agent.Clip(n.Mode, sdk.MaxName)})
		}
	case "api_retry":
		r.retry(n)
	case "compact_boundary":
		r.Event(sdk.EventCompacted, "", "", map[string]string{})
	default:
		return r.subagent(n, subtype)
	}
	return true
}

func (r *reader) subagent(n notice, subtype string) bool {
	switch subtype {
	case "task_started":
		r.Event(sdk.EventSubagentStarted, n.TaskID, n.ToolID, map[string]string{"title": agent.Clip(n.About, sdk.MaxName)})
	case "task_notification":
		r.Event(sdk.EventSubagentEnded, n.TaskID, n.ToolID, map[string]string{
			"status": agent.Clip(n.Status, sdk.MaxName), "title": agent.Clip(n.Summary, sdk.MaxText),
		})
	case "task_progress", "task_updated": // the subagent's own lines say it
	default:
		return false
	}
	return true
}

func (r *reader) opened(line []byte) bool {
	var s started
	ok := decode(line, &s)
	if !ok && s.Session == "" {
		return false
	}
	r.claim.Session, r.claim.Version = agent.ID(s.Session), agent.Clip(s.Version, sdk.MaxName)
	if r.Turn++; r.Turn == 1 {
		r.SessionStarted(sdk.SessionStarted{NativeID: s.Session, Model: s.Model, Mode: s.Mode, Tools: s.Tools, Dir: s.Dir, Version: s.Version})
	}
	r.Event(sdk.EventTurnStarted, "", "", sdk.Turn{})
	return ok
}

// decode reads what it can: a member of another type than it had is left out, and told by false.
func decode(line []byte, into any) bool { return json.Unmarshal(line, into) == nil }

func (r *reader) retry(n notice) {
	class, _ := classOf(n.Error, n.HTTPStatus, "")
	delay := time.Duration(min(max(n.Delay, 0), 1e9)) * time.Millisecond
	if class == "rate_limit" || class == "overloaded" {
		r.claim.RetryAfter = delay
	}
	r.Event(sdk.EventRetry, "", "", sdk.Retry{
		Attempt: n.Attempt, Max: n.Max, DelayMS: delay.Milliseconds(), Status: n.HTTPStatus, Class: class,
	})
}

// limit is what a subscription says of its limits.
func (r *reader) limit(info []byte) bool {
	var m [2][]byte
	if !agent.Pick(info, []string{"status", "resetsAt"}, m[:]) {
		return false
	}
	if agent.Text(m[0]) == "rejected" {
		if at := agent.Int(m[1]); at > 0 {
			r.resetsAt = time.Unix(at, 0)
		}
		r.Trouble("turn", "rate_limit", true, "the limit of the subscription is reached")
	}
	return true
}

// errorNames are the words by which Claude Code itself calls an error.
var errorNames = map[string]struct {
	class string
	again bool
}{
	"authentication_failed": {"auth", false}, "oauth_org_not_allowed": {"auth", false},
	"billing_error": {"quota", false}, "rate_limit": {"rate_limit", true}, "overloaded": {"overloaded", true},
	"server_error": {"overloaded", true}, "max_output_tokens": {"context", false},
}

func classOf(name string, status int, text string) (string, bool) {
	if known, ok := errorNames[name]; ok && status != 413 {
		return known.class, known.again
	}
	return agent.Class(status, text)
}

// modelUse is what one model was used for. Its input leaves out what the cache had.
type modelUse struct {
	Input      int64   `json:"inputTokens"`
	Output     int64   `json:"outputTokens"`
	CacheRead  int64   `json:"cacheReadInputTokens"`
	CacheWrite int64   `json:"cacheCreationInputTokens"`
	Cost       float64 `json:"costUSD"`
}

// terminal is the last line of a turn.
type terminal struct {
	Subtype  string              `json:"subtype"`
	IsError  bool                `json:"is_error"`
	Status   int                 `json:"api_error_status"`
	Text     string              `json:"result"`
	Stop     string              `json:"stop_reason"`
	Reason   string              `json:"terminal_reason"`
	Session  string              `json:"session_id"`
	Cost     float64             `json:"total_cost_usd"`
	Models   map[string]modelUse `json:"modelUsage"`
	Errors   []string            `json:"errors"`
	Denials  []denial            `json:"permission_denials"`
	LastTurn struct {
		Input      int64 `json:"input_tokens"`
		Output     int64 `json:"output_tokens"`
		CacheRead  int64 `json:"cache_read_input_tokens"`
		CacheWrite int64 `json:"cache_creation_input_tokens"`
	} `json:"usage"`
}

type denial struct {
	Tool string `json:"tool_name"`
}

func (r *reader) result(line []byte) bool {
	var t terminal
	ok := decode(line, &t)
	if !ok && t.Subtype == "" {
		return false
	}
	r.told = true
	if t.Session != "" {
		r.claim.Session = agent.ID(t.Session)
	}
	r.claim.Summary = agent.Clip(t.Text, sdk.MaxSummary)
	// A question that nobody answered is no refusal.
	r.claim.Denied = slices.ContainsFunc(t.Denials, func(d denial) bool { return d.Tool != "AskUserQuestion" })
	r.outcome(t)
	r.used(t)
	status := t.Subtype
	if t.Reason != "" {
		status += " " + t.Reason
	}
	r.Event(sdk.EventTurnEnded, "", "", sdk.Turn{Status: agent.Clip(status, sdk.MaxName)})
	return ok
}

// outcome is what the terminal record claims.
func (r *reader) outcome(t terminal) {
	switch {
	case strings.HasPrefix(t.Reason, "aborted"):
		r.claim.StopReason = "cancelled"
	case t.Subtype == "error_max_turns":
		r.failed("max_turns", "budget", false, "it used up its turns: max_turns")
	case t.Subtype == "error_max_budget_usd":
		r.failed("budget", "budget", false, "it used up its budget")
	case t.IsError || t.Subtype != "success":
		message := t.message()
		class, again := agent.Class(t.Status, message)
		r.failed("error", class, again, message)
	case t.Stop == "refusal":
		r.failed("refusal", "policy", false, "the model refused to go on")
	case t.Stop == "max_tokens":
		r.failed("max_tokens", "context", false, "it ended at its limit of tokens")
	default:
		r.claim.StopReason = "end_turn"
	}
	if !r.claim.Failed {
		r.claim.RetryAfter = 0
	}
}

func (t terminal) message() string {
	switch {
	case len(t.Errors) > 0:
		return strings.Join(t.Errors[:min(len(t.Errors), 10)], "\n")
	case t.Text != "":
		return t.Text
	default:
		return "it ended with " + t.Subtype
	}
}

func (r *reader) failed(stop, class string, again bool, message string) {
	r.claim.StopReason, r.claim.Failed, r.claim.Class, r.claim.Retryable = stop, true, class, again
	r.claim.Message = agent.Clip(message, sdk.MaxSummary)
	r.Trouble("session", class, again, message)
}

// used tells what each model was used for, side calls included, and sums it up.
func (r *reader) used(t terminal) {
	if len(t.Models) == 0 && t.LastTurn.Input+t.LastTurn.Output > 0 {
		u := t.LastTurn
		t.Models = map[string]modelUse{"": {u.Input, u.Output, u.CacheRead, u.CacheWrite, t.Cost}}
	}
	sum := sdk.Usage{Calls: r.calls, Cost: t.Cost, Currency: "USD", Scope: "session", Basis: "reported"}
	names := make([]string, 0, len(t.Models))
	for name := range t.Models {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		m := t.Models[name]
		one := sdk.Usage{
			Input: m.Input + m.CacheRead + m.CacheWrite, CachedRead: m.CacheRead, CachedWrite: m.CacheWrite, Output: m.Output,
			Cost: m.Cost, Currency: "USD", Model: agent.Clip(name, sdk.MaxName), Scope: "session", Basis: "reported",
		}
		sum.Input, sum.CachedRead, sum.CachedWrite = sum.Input+one.Input, sum.CachedRead+one.CachedRead, sum.CachedWrite+one.CachedWrite
		sum.Output += one.Output
		if i < maxTasks {
			r.Event(sdk.EventUsage, "", "", one)
		}
	}
	r.claim.Usage = &sum
}

// todos is a plan that is written as a whole.
func (r *reader) todos(input []byte) {
	var got struct {
		Todos []struct {
			Content string `json:"content"`
			Status  string `json:"status"`
		} `json:"todos"`
	}
	if json.Unmarshal(input, &got) != nil {
		return
	}
	var p sdk.Plan
	for _, t := range got.Todos {
		p.Entries = append(p.Entries, sdk.PlanEntry{Text: t.Content, Status: t.Status})
	}
	r.Plan(p)
}

// addTask and updateTask follow a plan that is written entry by entry.
func (r *reader) addTask(raw []byte) {
	if raw == nil {
		return
	}
	var got struct {
		ID      string `json:"id"`
		Subject string `json:"subject"`
	}
	if json.Unmarshal(raw, &got) != nil || got.Subject == "" || len(r.tasks) == maxTasks {
		return
	}
	r.tasks = append(r.tasks, task{agent.ID(got.ID), sdk.PlanEntry{Text: agent.Clip(got.Subject, sdk.MaxName), Status: "pending"}})
	r.plan()
}

func (r *reader) updateTask(input []byte) {
	var got struct {
		ID     string `json:"taskId"`
		Status string `json:"status"`
	}
	at := -1
	if json.Unmarshal(input, &got) == nil && got.Status != "" {
		at = slices.IndexFunc(r.tasks, func(t task) bool { return t.id == agent.ID(got.ID) })
	}
	switch {
	case at < 0:
		return
	case got.Status == "deleted":
		r.tasks = slices.Delete(r.tasks, at, at+1)
	default:
		r.tasks[at].entry.Status = agent.Clip(got.Status, sdk.MaxName)
	}
	r.plan()
}

func (r *reader) plan() {
	var p sdk.Plan
	for _, t := range r.tasks {
		p.Entries = append(p.Entries, t.entry)
	}
	r.Plan(p)
}
