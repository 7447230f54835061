package arch

import "testing"

func TestEveryBadHabitIsCaught(t *testing.T) {
	tr := planted(t, map[string]string{
		"room/room.go": `package room

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

type held struct{ ctx context.Context }

var (
	errFine  = errors.New("fine")
	table    = map[string]int{"a": 1}
	changed  = map[string]int{"a": 1}
	mu       sync.Mutex
	computed = build()
)

func init() {}

func build() int { changed["b"]++; return table["a"] }

func work(log interface{ Error(string, ...any) }) error {
	_ = os.Remove("a")
	_ = os.Remove("b") // it may be gone already
	_, _ = fmt.Fprint(os.Stderr)
	err := errors.Join(errFine)
	if strings.Contains(err.Error(), "fine") {
		fmt.Println(os.Getenv("HOME"), context.Background())
	}
	if err != nil {
		log.Error("it failed", "error", err)
		return fmt.Errorf("work: %w", err)
	}
	_, perr := os.StartProcess("x", nil, nil)
	return perr
}
`,
		"room/room_test.go": `package room

import (
	"os"
	"time"
)

var update = os.Getenv("X")

func pause() { time.Sleep(1); _ = os.Remove("c") }
`,
	})
	rules, _ := parseRules("room:\n")
	wantOnly(t, checkHabits(tr, rules),
		"room/room.go:12: a context kept in a struct",
		"changed is assigned at room/room.go:24",
		"room/room.go:18: package-level mu has no value",
		"package-level computed holds the result of a call",
		"room/room.go:22: init()",
		"room/room.go:27: a call's result is thrown away",
		"room/room.go:29: a call's result is thrown away",
		"room/room.go:31: decides by an error's text",
		"fmt.Println outside",
		"os.Getenv outside",
		"context.Background outside",
		"room/room.go:35: logs err and returns it",
		"os.StartProcess in a room that may not",
		"room/room_test.go:10: time.Sleep in a test",
		"room/room_test.go:10: a call's result is thrown away")
}

func TestOnlyOneRoomRunsGit(t *testing.T) {
	runs := `package room

import "os/exec"

var argv = []string{"git", "/usr/bin/git", "git is a word here", ".gitignore"}

func run() error { return exec.Command(argv[0]).Run() }
`
	tr := planted(t, map[string]string{"room/room.go": runs, "host/internal/worktree/git.go": runs, "room/room_test.go": runs})
	rules, _ := parseRules("room: os/exec\nhost/internal/worktree: os/exec\n")
	wantOnly(t, checkHabits(tr, rules), "room/room.go:5: git is run by", "room/room.go:5: git is run by")
}

func TestGoodHabitsPass(t *testing.T) {
	tr := planted(t, map[string]string{
		"main/main.go": `package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"regexp"
)

//go:embed *.go
var files embed.FS

var (
	word         = regexp.MustCompile("a")
	_    fmt.Stringer = thing{}
	kinds        = []string{"a"}
	text         = []byte("x")
)

type thing struct{}

func (thing) String() string {
	kinds := append([]string{}, kinds...)
	kinds[0] = "local"
	return kinds[0]
}

func main() { fmt.Println(context.Background(), os.Getenv("HOME"), files, word, text) }
`,
		"gen/x.pb.go": "package gen\n\nvar state int\n\nfunc init() { state = 1 }\n",
	})
	wantOnly(t, checkHabits(tr, nil))
}
