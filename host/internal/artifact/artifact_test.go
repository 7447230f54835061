package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "cas"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, body string, limit int64) Ref {
	t.Helper()
	ref, err := s.Put(context.Background(), strings.NewReader(body), limit)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func pathOf(t *testing.T, s *Store, digest string) string {
	t.Helper()
	p, err := s.place(digest)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestS37_ContentIsNamedByItsDigestAndKeptOnce(t *testing.T) {
	s := open(t)
	a := put(t, s, "hello", 100)
	if a != (Ref{Digest: Digest([]byte("hello")), Size: 5}) {
		t.Fatalf("got %+v", a)
	}
	if b := put(t, s, "hello", 100); b != a {
		t.Errorf("the same bytes are %+v", b)
	}
	put(t, s, "", 100)
	path := pathOf(t, s, a.Digest)
	if !strings.HasSuffix(path, filepath.Join("sha256", a.Digest[7:9], a.Digest[9:])) {
		t.Errorf("path %s", path)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all := files(t, s.dir); len(all) != 2 {
		t.Errorf("kept %v", all)
	}
	f, err := s.Verified(context.Background(), a.Digest, a.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestS37_OneChangedByteIsNeverHandedOut(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"one bit":   func(p string) error { return os.WriteFile(p, []byte("hellp"), 0o600) },
		"truncated": func(p string) error { return os.WriteFile(p, []byte("hell"), 0o600) },
		"emptied":   func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"longer":    func(p string) error { return os.WriteFile(p, []byte("hello!"), 0o600) },
		"a link": func(p string) error {
			return errors.Join(os.WriteFile(p+"x", []byte("hello"), 0o600), os.Remove(p), os.Symlink(p+"x", p))
		},
		"a pipe":    func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			ref := put(t, s, "hello", 100)
			path := pathOf(t, s, ref.Digest)
			if err := errors.Join(os.Chmod(path, 0o600), spoil(path)); err != nil {
				t.Fatal(err)
			}
			if f, err := s.Verified(context.Background(), ref.Digest, ref.Size); !fault.Is(err, fault.ArtifactCorrupt) || f != nil {
				t.Fatalf("got %v, %v", f, err)
			}
			aside, err := os.ReadDir(s.path(quarantine))
			if err != nil || len(aside) != 1 || !strings.HasPrefix(aside[0].Name(), ref.Digest[7:]) {
				t.Errorf("put aside: %v, %v", aside, err)
			}
			if _, err := s.Verified(context.Background(), ref.Digest, ref.Size); !fault.Is(err, fault.NotFound) {
				t.Errorf("afterwards: %v", err)
			}
			put(t, s, "hello", 100) // the true bytes take their place again
			f, err := s.Verified(context.Background(), ref.Digest, ref.Size)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		})
	}
}

func TestKeepingBytesAgainHealsASpoiledCopy(t *testing.T) {
	s := open(t)
	ref := put(t, s, "hello", 100)
	path := pathOf(t, s, ref.Digest)
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("hellp"), 0o600)); err != nil {
		t.Fatal(err)
	}
	put(t, s, "hello", 100)
	f, err := s.Verified(context.Background(), ref.Digest, ref.Size)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestAWrongSizeIsNotServed(t *testing.T) {
	s := open(t)
	ref := put(t, s, "hello", 100)
	if _, err := s.Verified(context.Background(), ref.Digest, 4); !fault.Is(err, fault.ArtifactCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestBeyondTheLimitNothingIsKept(t *testing.T) {
	s := open(t)
	for _, row := range []struct {
		body      string
		limit     int64
		want      string
		truncated bool
	}{{"hello", 5, "hello", false}, {"hello", 4, "hell", true}, {"hello", 0, "", true}, {"", 0, "", false}} {
		if got := put(t, s, row.body, row.limit); got != (Ref{Digest([]byte(row.want)), int64(len(row.want)), row.truncated}) {
			t.Errorf("%q with limit %d is %+v", row.body, row.limit, got)
		}
	}
	// A stream is not stopped by its limit, and an endless one is not read on by Put.
	w, err := s.Create(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"ab", "cd", "ef"} {
		if n, err := w.Write([]byte(p)); n != 2 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if ref, err := w.Seal(); err != nil || ref != (Ref{Digest([]byte("abc")), 3, true}) {
		t.Errorf("got %+v, %v", ref, err)
	}
	endless := &counting{}
	if _, err := s.Put(context.Background(), endless, 100); err != nil || endless.n > 200 {
		t.Errorf("read %d bytes of an endless stream, %v", endless.n, err)
	}
}

type counting struct{ n int }

func (c *counting) Read(p []byte) (int, error) {
	n := min(len(p), 50)
	c.n += n
	return n, nil
}

func TestAbortedAndFailedWritesLeaveNothing(t *testing.T) {
	s := open(t)
	w, err := s.Create(10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if _, err := w.Seal(); !errors.Is(err, errDone) {
		t.Errorf("sealed after abort: %v", err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, errDone) {
		t.Errorf("written after abort: %v", err)
	}
	boom := errors.New("boom")
	if _, err := s.Put(context.Background(), io.MultiReader(strings.NewReader("x"), iotest.ErrReader(boom)), 10); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(boom)
	if _, err := s.Put(ctx, strings.NewReader("x"), 10); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	ref := put(t, s, "y", 1)
	if _, err := s.Verified(ctx, ref.Digest, 1); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if all := files(t, s.dir); len(all) != 1 {
		t.Errorf("left %v", all)
	}
}

func TestAnUnfinishedFileIsGoneAfterTheNextStart(t *testing.T) {
	s := open(t)
	w, err := s.Create(10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("torn")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); err != nil {
		t.Fatal(err)
	}
	if all := files(t, s.dir); len(all) != 0 {
		t.Errorf("left %v", all)
	}
}

func TestF13_OnlyDigestsBecomePaths(t *testing.T) {
	s := open(t)
	for _, d := range []string{"", "sha256:", "sha256:../../x", Digest(nil)[7:], strings.ToUpper(Digest(nil)), Digest(nil) + "/..", "sha1:" + Digest(nil)[7:], Digest(nil) + "\n"} {
		if _, err := s.Verified(context.Background(), d, 0); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%q: %v", d, err)
		}
	}
	if _, err := s.Verified(context.Background(), Digest([]byte("never kept")), 10); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown content: %v", err)
	}
}

func TestASweepTakesOnlyWhatIsOldAndUnwanted(t *testing.T) {
	s := open(t)
	old, wanted, young := put(t, s, "old", 9), put(t, s, "wanted", 9), put(t, s, "young", 9)
	past := time.Now().Add(-2 * time.Hour)
	for _, r := range []Ref{old, wanted} {
		if err := os.Chtimes(pathOf(t, s, r.Digest), past, past); err != nil {
			t.Fatal(err)
		}
	}
	stray := filepath.Join(s.path(algorithm), "stray")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(-time.Hour)
	got, err := s.Sweep(context.Background(), func(d string) bool { return d == wanted.Digest }, limit)
	if err != nil || got != (Swept{Files: 1, Bytes: 3}) {
		t.Errorf("swept %+v, %v", got, err)
	}
	for _, r := range []Ref{wanted, young} {
		f, err := s.Verified(context.Background(), r.Digest, r.Size)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	// Kept again, the wanted one is young: a row for it may be on its way.
	put(t, s, "wanted", 9)
	if got, err := s.Sweep(context.Background(), func(string) bool { return false }, limit); err != nil || got.Files != 0 {
		t.Errorf("swept %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Sweep(ctx, nil, limit); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestWritersOfTheSameBytesAndASweepDoNotDisturbEachOther(t *testing.T) {
	s := open(t)
	body := bytes.Repeat([]byte("same"), 5000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				ref, err := s.Put(context.Background(), bytes.NewReader(body), 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				f, err := s.Verified(context.Background(), ref.Digest, ref.Size)
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
			}
		})
	}
	stop := make(chan struct{})
	var sweeper sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Sweep(context.Background(), func(string) bool { return false }, time.Now().Add(-time.Minute)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
	close(stop)
	sweeper.Wait()
	if all := files(t, s.dir); len(all) != 1 {
		t.Errorf("kept %v", all)
	}
}

func TestAFullDiskIsNoSpace(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if err := diskFault("write", &os.PathError{Op: "write", Path: "x", Err: errno}); !fault.Is(err, fault.NoSpace) {
			t.Errorf("%v became %v", errno, err)
		}
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	s := open(t)
	w, err := s.Create(100)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	w.file = f
	if _, err := w.Write([]byte("x")); !fault.Is(err, fault.NoSpace) {
		t.Errorf("write: %v", err)
	}
	if _, err := w.Seal(); !fault.Is(err, fault.NoSpace) {
		t.Errorf("seal: %v", err)
	}
	if all := files(t, s.dir); len(all) != 0 {
		t.Errorf("left %v", all)
	}
}
