// Command inner measures from within: it is started inside a sandbox and outside of it in turns, does the
// same work in both, and prints what one piece of it took, the median, in microseconds. So neither the
// launch nor the start of this program is in the figure.
//
// It must import nothing that makes it heavier.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

const usage = "usage: inner open TIMES FILE | inner run TIMES COMMAND [ARGUMENT...]"

func main() {
	took, err := measure(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%.3f\n", took)
}

// measure does what the arguments say.
func measure(args []string) (float64, error) {
	if len(args) < 3 {
		return 0, errors.New(usage)
	}
	times, err := strconv.Atoi(args[1])
	if err != nil || times < 1 {
		return 0, errors.New(usage)
	}
	switch args[0] {
	case "open":
		return median(times, func() (float64, error) { return opened(args[2]) })
	case "run":
		return median(times, func() (float64, error) { return ran(args[2:]) })
	}
	return 0, errors.New(usage)
}

func median(times int, piece func() (float64, error)) (float64, error) {
	took := make([]float64, times)
	for i := range took {
		var err error
		if took[i], err = piece(); err != nil {
			return 0, err
		}
	}
	slices.Sort(took)
	return took[times/2], nil
}

const batch = 200 // opens for one look at the clock

// opened times one open and close of a file.
func opened(name string) (float64, error) {
	began := time.Now()
	for range batch {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		if err := f.Close(); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Nanoseconds()) / 1000 / batch, nil
}

// ran times a command from its start to its end. What it says is shown only where it fails.
func ran(argv []string) (float64, error) {
	began := time.Now()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("run %v: %w\n%s", argv, err, out)
	}
	return float64(took.Microseconds()), nil
}
