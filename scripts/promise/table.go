package main

import (
	_ "embed"
	"fmt"
	"strings"
)

// promiseTable is the committed list: number, owner, statement, with tabs between.
//
//go:embed promises.tsv
var promiseTable string

// promise is one statement that the product makes to the people who trust it with their code.
type promise struct {
	ID        string
	Owner     string // the issue that owes the first test
	Statement string
}

// promises reads the table.
func promises(text string) ([]promise, error) {
	var all []promise
	for i, l := range strings.Split(strings.TrimSpace(text), "\n") {
		cells := strings.Split(l, "\t")
		if len(cells) != 3 {
			return nil, fmt.Errorf("promises.tsv:%d: want number, owner and statement", i+1)
		}
		p := promise{ID: cells[0], Owner: cells[1], Statement: cells[2]}
		if want := fmt.Sprintf("S%d", i+1); p.ID != want {
			return nil, fmt.Errorf("promises.tsv:%d: found %s where %s belongs", i+1, p.ID, want)
		}
		all = append(all, p)
	}
	return all, nil
}
