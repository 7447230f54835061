package worktree

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

const dirMode = "040000" // as a record of a diff has it

// maxTree bounds one tree object.
const maxTree = 64 << 20

// wellFormed refuses a comparison of trees that git would not have written: with entries out of order, or two of
// one name. A diff passes over some of what a checkout of such a tree does, so that a change could hide from those
// who judge it. Every directory that differs is looked at, from the top; what is equal on both sides hides nothing.
func (d *diffReader) wellFormed(ctx context.Context, git *program, where call, commits ...string) error {
	ids := make([]string, 0, len(commits)+len(d.dirs))
	for _, c := range commits {
		ids = append(ids, c+"^{tree}")
	}
	ids = append(ids, d.dirs...)
	width := 20
	if where.repo.sha256 {
		width = 32
	}
	return git.objects(ctx, where, ids, func(in *bufio.Reader) error {
		tree, err := readObject(in, "tree", maxTree)
		if err != nil {
			return err
		}
		return checkTree(tree, width)
	})
}

// objects has git write objects one after the other, and take read each.
func (p *program) objects(ctx context.Context, where call, ids []string, take func(in *bufio.Reader) error) error {
	from, to := io.Pipe()
	where.args, where.stdout = []string{"cat-file", "--batch", "--buffer"}, to
	where.stdin = strings.NewReader(strings.Join(ids, "\n") + "\n")
	done := make(chan error, 1)
	go func() { // ends with git, which closes its end
		_, err := p.run(ctx, where)
		to.CloseWithError(err)
		done <- err
	}()
	in := bufio.NewReader(from)
	var err error
	for range ids {
		if err = take(in); err != nil {
			break
		}
	}
	from.CloseWithError(err)
	if ran := <-done; err == nil {
		err = ran
	}
	return err
}

// readObject reads one object of a batch: "ID kind SIZE", its bytes, of which the first are kept, and a newline.
func readObject(in *bufio.Reader, kind string, most int64) ([]byte, error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	parts := strings.Fields(head)
	if len(parts) != 3 || parts[1] != kind {
		return nil, fmt.Errorf("read %s: git says %.80q", kind, head)
	}
	size, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("read %s: %.80q has no size", kind, head)
	}
	kept := make([]byte, min(size, most))
	if _, err := io.ReadFull(in, kept); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	if _, err := io.CopyN(io.Discard, in, size-int64(len(kept))+1); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	return kept, nil
}

func misshapen(format string, args ...any) error {
	return fault.New(fault.TreeRefused, "a directory of the change is malformed: "+format, args...).
		Fix("look for more with git fsck, and write the commit again")
}

// checkTree holds the bytes of a tree object against git's own rules.
func checkTree(tree []byte, width int) error {
	var last []byte
	names := make(map[string]bool)
	for len(tree) > 0 {
		mode, rest, ok := bytes.Cut(tree, []byte{' '})
		name, rest, ended := bytes.Cut(rest, []byte{0})
		if !ok || !ended || len(rest) < width {
			return misshapen("it ends in the middle of an entry")
		}
		tree = rest[width:]
		key := name
		if bits, err := strconv.ParseUint(string(mode), 8, 32); err != nil {
			ok = false
		} else if bits&unix.S_IFMT == unix.S_IFDIR {
			key = slices.Concat(name, []byte{'/'}) // git sorts directories so
		}
		switch {
		case names[string(name)]:
			return misshapen("it has two entries of the name %.100q", name)
		case !ok || len(name) == 0 || bytes.IndexByte(name, '/') >= 0:
			return misshapen("%.100q %.100q is no entry", mode, name)
		case bytes.Compare(last, key) >= 0:
			return misshapen("%.100q is out of order", name)
		}
		names[string(name)], last = true, key
	}
	return nil
}
