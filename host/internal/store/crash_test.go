package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// childEnv tells a re-executed test binary what it is: "<role> <state directory>".
const childEnv = "DRAWSPAN_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	role, dir, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		os.Exit(m.Run())
	}
	if err := children[role](context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var children = map[string]func(context.Context, string) error{"writers": writers, "limited": limited, "hold": hold}

// child re-executes this binary in a role.
func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+role+" "+dir)
	return cmd
}

// writers opens the record and lets eight goroutines write until it is killed. Each acknowledged event is
// told on standard output, after its Apply returned.
func writers(ctx context.Context, dir string) error {
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			run := work.Run{ID: newID("run"), Workspace: "ws"}
			list := []work.Mutation{work.OpenRun{Run: run}}
			for i := 0; ; i++ {
				events, err := s.Apply(ctx, list...)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(3)
				}
				out.Lock()
				for _, e := range events {
					fmt.Println(e.Seq, e.Kind, e.RunID)
				}
				out.Unlock()
				list = []work.Mutation{work.Fact{Kind: "some.fact", RunID: run.ID, Body: strings.Repeat("x", i%3000)}}
				if i%10 == g%10 {
					list = append(list, work.DispatchStep{Step: work.Step{ID: newID("step"), RunID: run.ID, Spec: work.StepSpec{Text: "x"}}})
				}
			}
		})
	}
	wg.Wait()
	return s.Close(ctx)
}

func TestNoAcknowledgedEventIsLostToKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("20 processes are killed")
	}
	dir := stateDir(t)
	rnd := rand.New(rand.NewPCG(9, 9))
	total, size := 0, int64(0)
	for round := range 20 {
		acked := killed(t, dir, 1+rnd.IntN(150))
		total += len(acked)
		s, err := Open(context.Background(), Options{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: open after kill: %v", round, err)
		}
		if round%5 == 4 {
			sound(t, s)
		}
		if h := head(t, s); h.Size < size {
			t.Fatalf("round %d: the log went from %d to %d events", round, size, h.Size)
		} else {
			size = h.Size
		}
		holdsAll(t, s, acked)
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged events, %d recorded", total, size)
}

// holdsAll wants every acknowledged event in the log, as it was told.
func holdsAll(t *testing.T, s *Store, acked map[int64]string) {
	t.Helper()
	at := slices.Min(slices.Collect(maps.Keys(acked))) - 1
	for found := 0; found < len(acked); {
		events, err := s.Events(context.Background(), EventFilter{After: Position{1, at}, Limit: maxLimit})
		if err != nil || len(events) == 0 {
			t.Fatalf("%d of %d acknowledged events are recorded, %v", found, len(acked), err)
		}
		for _, e := range events {
			at = e.Seq
			line, ok := acked[e.Seq]
			if !ok {
				continue
			}
			found++
			if got := fmt.Sprint(e.Seq, " ", e.Kind, " ", e.RunID); got != line {
				t.Fatalf("acknowledged %q, recorded %q", line, got)
			}
		}
	}
}

// killed runs writers, kills them after some acknowledgements and returns all that were told, by seq.
func killed(t *testing.T, dir string, after int) map[int64]string {
	t.Helper()
	cmd := child(t, "writers", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := map[int64]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		seq, _, ok := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(seq, 10, 64)
		if !ok || err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		acked[n] = lines.Text()
		if len(acked) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acked
}

// limited writes until the file size limit makes writing fail, and checks that this is the end of it.
func limited(ctx context.Context, dir string) error {
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	lim := syscall.Rlimit{Cur: 400 << 10, Max: 400 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lim); err != nil {
		return err
	}
	acked := int64(0)
	for i := 0; err == nil; i++ {
		var events []work.Event
		events, err = s.Apply(ctx, work.Fact{Kind: "some.fact", Body: strings.Repeat("x", 1000)})
		if err == nil {
			acked = events[0].Seq
		}
	}
	if !fault.Is(err, fault.Unavailable) {
		return fmt.Errorf("an I/O error became %w", err)
	}
	select {
	case <-s.Broken():
	case <-time.After(10 * time.Second):
		return errors.New("nobody was told")
	}
	if _, again := s.Apply(ctx, work.Fact{Kind: "some.fact"}); !errors.Is(again, err) && !fault.Is(again, fault.Unavailable) {
		return fmt.Errorf("a later write: %w", again)
	}
	if _, err := s.Checkpoint(ctx); !fault.Is(err, fault.Unavailable) {
		return fmt.Errorf("a later checkpoint: %w", err)
	}
	if _, err := s.Head(ctx); err != nil {
		return fmt.Errorf("a read afterwards: %w", err)
	}
	fmt.Println(acked)
	os.Exit(0) // as the daemon does: what is open is not trusted any more
	return nil
}

func TestAnIOErrorStopsAllWriting(t *testing.T) {
	dir := stateDir(t)
	cmd := child(t, "limited", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	acked, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil || acked < 10 {
		t.Fatalf("the child said %q", out)
	}
	s := reopen(t, Options{Dir: dir})
	if h := head(t, s); h.Seq < acked {
		t.Errorf("event %d was acknowledged, %d is the last", acked, h.Seq)
	}
	sound(t, s)
}

// hold opens the record and keeps it until its standard input ends.
func hold(ctx context.Context, dir string) error {
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println("open")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil {
		return errors.New("nothing should be said")
	}
	return s.Close(ctx)
}

func TestOneProcessOwnsAStateDirectory(t *testing.T) {
	dir := stateDir(t)
	cmd := child(t, "hold", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	for _, inspect := range []bool{false, true} {
		_, err := Open(context.Background(), Options{Dir: dir, Inspect: inspect})
		if !fault.Is(err, fault.StateLocked) || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
			t.Errorf("a second opener, inspect %v: %v", inspect, err)
		}
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, Options{Dir: dir})
	if _, err := Open(context.Background(), Options{Dir: dir}); !fault.Is(err, fault.StateLocked) {
		t.Errorf("a second opener in this process: %v", err)
	}
	must(t, s, work.Fact{Kind: "a.b"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("an opener that gave up: %v", err)
	}
}
