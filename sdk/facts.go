package sdk

// Facts are what is known of a change when a gate is evaluated. What the executor said of itself is under
// Claims and nowhere else.
type Facts struct {
	Diff     DiffFacts           `json:"diff"`
	Gates    map[string]GateFact `json:"gates"`    // those that were decided before, by name
	Executor ExecutorFact        `json:"executor"` // zero where no executor was at work, as in CI
	Usage    *Usage              `json:"usage,omitempty"`
	Claims   *Claims             `json:"claims,omitempty"`
}

// DiffFacts are numbers of a diff. The changes themselves are in Check.Changes.
type DiffFacts struct {
	Files      int `json:"files"`
	Lines      int `json:"lines"` // inserted plus deleted
	Insertions int `json:"insertions"`
	Deletions  int `json:"deletions"`
	Binary     int `json:"binary"`
	Added      int `json:"added"`    // files, as are the next four
	Modified   int `json:"modified"` // in content
	Deleted    int `json:"deleted"`
	Modes      int `json:"modes"` // whose mode alone changed
	Links      int `json:"links"` // symbolic links that were added or changed
	// Bytes is the size of all changed files after the change, Largest that of the largest.
	Bytes   int64 `json:"bytes"`
	Largest int64 `json:"largest"`
}

// GateFact is a gate that was decided.
type GateFact struct {
	Verdict  string             `json:"verdict"` // pass, fail or hold
	Result   string             `json:"result"`  // of its validation: pass, warn, fail, skip, error; "" where none ran
	Message  string             `json:"message,omitempty"`
	Findings int                `json:"findings"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
}

// ExecutorFact says who did the work.
type ExecutorFact struct {
	Name      string `json:"name"`
	Plugin    string `json:"plugin"`
	Simulated bool   `json:"simulated"`
}

// Claims are what an executor said of itself. Nothing of it is evidence.
type Claims struct {
	StopReason string   `json:"stop_reason"`
	Failed     bool     `json:"failed"`
	Denied     bool     `json:"denied"`
	Summary    string   `json:"summary,omitempty"`
	Files      []string `json:"files,omitempty"` // paths that it said it changed
}
