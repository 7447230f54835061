package sdk

// The data of the events that have more than a line of it. An executor may leave any field out.

// SessionStarted is the data of session.started.
type SessionStarted struct {
	NativeID string   `json:"native_id,omitempty"`
	Model    string   `json:"model,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Tools    []string `json:"tools,omitempty"`
	Dir      string   `json:"cwd,omitempty"`
	Version  string   `json:"version,omitempty"`
}

// SessionEnded is the data of session.ended.
type SessionEnded struct {
	StopReason string `json:"stop_reason"` // as of a Result, or lost
	ExitCode   *int   `json:"exit_code,omitempty"`
	Signal     string `json:"signal,omitempty"`
}

// Turn is the data of turn.started and turn.ended.
type Turn struct {
	NativeID string `json:"native_id,omitempty"`
	Status   string `json:"status,omitempty"`
}

// Text is the data of message, thought and their deltas.
type Text struct {
	Role     string `json:"role,omitempty"`    // assistant, user
	Channel  string `json:"channel,omitempty"` // final, commentary
	Text     string `json:"text"`
	Redacted bool   `json:"redacted,omitempty"` // the vendor hides the thought
}

// ToolStarted is the data of tool.started.
type ToolStarted struct {
	Kind        string   `json:"kind"` // one of ToolKinds
	NativeName  string   `json:"native_name,omitempty"`
	Title       string   `json:"title,omitempty"`
	Input       any      `json:"input,omitempty"`
	Paths       []string `json:"paths,omitempty"`
	Synthesized bool     `json:"synthesized,omitempty"` // the executor told the end only
}

// ToolEnded is the data of tool.ended.
type ToolEnded struct {
	Status   string `json:"status"` // ok, failed, denied, cancelled, unknown
	ExitCode *int   `json:"exit_code,omitempty"`
	Output   string `json:"output,omitempty"`
}

// FileChanged is the data of file.changed: what the executor says that it did.
type FileChanged struct {
	Path  string `json:"path"`
	Op    string `json:"op"`    // add, modify, delete, rename, mode
	Basis string `json:"basis"` // reported
}

// Plan is the data of plan.updated.
type Plan struct {
	Entries []PlanEntry `json:"entries"`
}

// PlanEntry is one line of a Plan.
type PlanEntry struct {
	Text     string `json:"text"`
	Status   string `json:"status"` // pending, in_progress, completed
	Priority string `json:"priority,omitempty"`
}

// Usage is the data of usage. Input includes what was read from and written to a cache.
type Usage struct {
	Input       int64   `json:"input"`
	CachedRead  int64   `json:"cached_read"`
	CachedWrite int64   `json:"cached_write"`
	Output      int64   `json:"output"`
	Reasoning   int64   `json:"reasoning"`
	Calls       int64   `json:"calls,omitempty"`
	Cost        float64 `json:"cost,omitempty"`
	Currency    string  `json:"currency,omitempty"`
	Model       string  `json:"model,omitempty"`
	Scope       string  `json:"scope,omitempty"` // call, turn, session
	Basis       string  `json:"basis"`           // reported, computed, gateway
}

// Retry is the data of retry.
type Retry struct {
	Attempt int    `json:"attempt,omitempty"`
	Max     int    `json:"max,omitempty"`
	DelayMS int64  `json:"delay_ms,omitempty"`
	Status  int    `json:"http_status,omitempty"`
	Class   string `json:"class,omitempty"`
}

// Trouble is the data of error.
type Trouble struct {
	Scope     string `json:"scope"` // tool, turn, session, infra
	Class     string `json:"class"` // one of ErrorClasses
	Retryable bool   `json:"retryable,omitempty"`
	Message   string `json:"message"`
}

// Unparsed is the data of raw.unparsed: a line that the executor's adapter does not know.
type Unparsed struct {
	Text  string `json:"text"`
	Bytes int    `json:"bytes,omitempty"` // of the whole line, where Text is its beginning
}
