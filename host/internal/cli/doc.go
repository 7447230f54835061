// Package cli is the command line: one file per subcommand, each parses, calls the daemon through
// host/client and prints.
//
// It guarantees: stdout is data and stderr is talk; --json prints exactly one document, also for a
// failure; the exit code comes from the one table of host/fault; text that comes from repositories,
// executors and people is stripped of control, escape and bidirectional characters before a terminal
// sees it; work that is followed is followed by events, never by polling, and Ctrl-C detaches from it
// without cancelling; whatever was simulated says so in every view.
//
// It is the only room that reads environment variables. It must not know storage, dispatch, plugins'
// processes or git: what needs them comes through the functions of App.
//
//	os.Exit(cli.Main(context.Background(), cli.App{Serve: serve}, os.Args[1:]))
package cli
