// Command promise says which of the product's promises are held: it finds the tests that carry a
// promise's number, runs them, and prints the table.
//
// It guarantees that nothing is called held without a test that ran here and passed: a promise whose
// test was skipped is unprovable here, one without a test is open, and anything else has failed.
//
// It must not know what any promise means, nor any room; it reads names and runs the go command.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are what the command line asks for.
type options struct {
	root string
	json string
	list bool
	only []string
}

// run is main without the process: 0 when nothing failed, 1 when something did, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "promise:", err)
		return 2
	}
	lines, err := lines(o, stderr)
	if err == nil {
		err = report(o, lines, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "promise:", err)
		return 1
	}
	if slices.ContainsFunc(lines, func(l line) bool { return l.State == failed }) {
		return 1
	}
	return 0
}

// lines finds the tests, runs them unless they are only to be listed, and judges.
func lines(o options, progress io.Writer) ([]line, error) {
	all, err := promises(promiseTable)
	if err != nil {
		return nil, err
	}
	found, err := find(o.root)
	if err != nil {
		return nil, err
	}
	if err := known(all, found); err != nil {
		return nil, err
	}
	if all, found, err = narrow(all, found, o.only); err != nil {
		return nil, err
	}
	outcomes := map[string]outcome{}
	if !o.list {
		if outcomes, err = prove(o.root, found, progress); err != nil {
			return nil, err
		}
	}
	return judge(all, found, outcomes, o.list), nil
}

// narrow keeps the promises that were named, all of them when none was, and their tests.
func narrow(all []promise, found []proof, only []string) ([]promise, []proof, error) {
	if len(only) == 0 {
		return all, found, nil
	}
	for _, id := range only {
		if !slices.ContainsFunc(all, func(p promise) bool { return p.ID == id }) {
			return nil, nil, fmt.Errorf("there is no promise %s; they go from S1 to S%d", id, len(all))
		}
	}
	all = slices.DeleteFunc(all, func(p promise) bool { return !slices.Contains(only, p.ID) })
	found = slices.DeleteFunc(found, func(f proof) bool {
		return !slices.ContainsFunc(f.ids, func(id string) bool { return slices.Contains(only, id) })
	})
	return all, found, nil
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("promise", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.root, "root", ".", "the project's `directory`")
	set.StringVar(&o.json, "json", "", "write JSON lines to this `file`; - is standard output")
	set.BoolVar(&o.list, "list", false, "find the tests, run nothing")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if o.list && o.json != "" {
		return o, fmt.Errorf("--list runs nothing, so it has no states to write with --json")
	}
	for _, id := range set.Args() {
		o.only = append(o.only, strings.ToUpper(id))
	}
	return o, nil
}

// known refuses a test whose number no promise has.
func known(all []promise, found []proof) error {
	for _, f := range found {
		for _, id := range f.ids {
			if !slices.ContainsFunc(all, func(p promise) bool { return p.ID == id }) {
				return fmt.Errorf("%s carries %s, which is no promise", f.name(), id)
			}
		}
	}
	return nil
}
