// Package agent is what plugins share that drive a coding agent: the program, its lines, the events made
// of them, and what is kept of its session.
//
// An adapter for one more agent has three parts. A manifest names the program, the versions it was tried
// with, and how to install it. A reader of the agent's lines is a type without I/O, so that it can be
// replayed from a recorded stream, fuzzed and measured:
//
//	type reader struct{ agent.Tell }
//
//	func (r *reader) Line(line []byte) []sdk.Event {
//		var m struct{ Type, Text string }
//		switch err := json.Unmarshal(line, &m); {
//		case err == nil && m.Type == "text":
//			r.Text(sdk.EventMessage, "", "", sdk.Text{Role: "assistant", Text: m.Text})
//		default:
//			r.Unparsed(line, len(line)) // nothing is dropped
//		}
//		return r.Take()
//	}
//
// And Run starts the program that the host found, gives it the step's text by its standard input, never as
// an argument, and judges how it ended:
//
//	func (executor) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
//		if a.Program == nil {
//			return sdk.Result{}, agent.ErrNoProgram(manifest.Programs[0])
//		}
//		var r reader
//		tell := func(events []sdk.Event) error { return agent.Emit(a.Host.Emit).All(ctx, events) }
//		p := agent.Start(context.WithoutCancel(ctx), agent.Command{
//			Argv: agent.Argv(*a.Program, "--json"), Dir: a.Tree, Env: agent.Environ(os.Environ(), nil, nil),
//		}, agent.Handler{
//			Emit: a.Host.Emit,
//			Line: func(line []byte) error { return tell(r.Line(line)) },
//			Long: func(beginning []byte, n int) error { r.Unparsed(beginning, n); return tell(r.Take()) },
//		})
//		p.Send(prompt{a.Instruction}) // where the program cannot be started, Await says why
//		ran, err := p.Await(ctx, r.told, func() { p.Send(cancel{}) })
//		if err != nil {
//			return sdk.Result{}, err
//		}
//		return agent.Judge(r.claim, r.ended, ran, p.Stderr()), nil
//	}
//
// It guarantees: raw bytes are told before they are understood; a line of any length costs the memory that
// was allowed; a program that prints faster than the host takes waits; every text of an event is valid and
// bounded; files of a session stay below the directory they are meant for; no variable of the plugin
// protocol and of another vendor reaches an agent.
//
// It must not know: any one agent, the wire, the host.
package agent
