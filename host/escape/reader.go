package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// What a reader of a flood keeps, and how much this process may grow by it.
const (
	kept   = 64 << 10
	growth = 48 << 20
)

// reader is who reads what a probe writes.
func (g *rig) reader(p *catalogue.Probe, walls []string) func(context.Context, *sandbox.Process, *os.File) ([]byte, error) {
	if p.Under != catalogue.Flooded {
		return g.collect
	}
	careless := slices.Contains(walls, catalogue.Host)
	return func(ctx context.Context, process *sandbox.Process, out *os.File) ([]byte, error) {
		return drain(ctx, process, out, careless)
	}
}

// drain reads while the program runs and keeps the end; a careless one keeps all. What it grew by is put
// before a report, as an error that no report follows where it is too much.
func drain(ctx context.Context, process *sandbox.Process, out *os.File, careless bool) ([]byte, error) {
	before, err := resident()
	if err != nil {
		return nil, err
	}
	text, block, most := []byte(nil), make([]byte, kept), before
	for n := 0; ; n++ {
		if err := out.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return nil, err
		}
		got, err := out.Read(block)
		text = append(text, block[:got]...)
		if !careless && len(text) > 2*kept {
			text = append(text[:0], text[len(text)-kept:]...)
		}
		if n%256 == 0 || err != nil {
			now, err := resident()
			if err != nil {
				return nil, err
			}
			most = max(most, now)
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	if _, err := process.Kill(context.Background()); err != nil {
		return nil, err
	}
	if grown := most - before; grown > growth {
		return fmt.Appendf(nil, `{"claim":%q,"detail":"the host grew by %d MiB"}`, catalogue.Through, grown>>20), nil
	}
	return text[max(0, len(text)-kept):], nil
}

// resident is this process's memory.
func resident() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &pages); err != nil {
		return 0, err
	}
	return pages * int64(os.Getpagesize()), nil
}
