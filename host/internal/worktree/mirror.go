package worktree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
)

// mirror is the bare repository that the host owns for one operator's repository. Everything that git
// does to trees is done with it. Nothing is ever deleted from it here, so that collecting garbage in the
// operator's repository cannot take an object away from an attempt.
type mirror struct {
	repo
	passing bool       // nothing outlives the process
	mu      sync.Mutex // bringing commits in

	cache  sync.Mutex
	treeOf map[string]string // tree ids of commits
}

// maxTreeCache is how many tree ids are remembered.
const maxTreeCache = 4096

// mirrorConfig is the whole configuration of a mirror, and mirrorAttributes its attributes: they come
// before every .gitattributes of a tree and undo whatever could change bytes on the way in or out, run a
// filter or hide a difference.
const (
	mirrorConfig = "[core]\n\trepositoryformatversion = %d\n\tbare = true\n\tfilemode = true\n" +
		"\tsymlinks = true\n\tignorecase = false\n\tlogallrefupdates = false\n[gc]\n\tauto = 0\n"
	mirrorSHA256     = "[extensions]\n\tobjectformat = sha256\n"
	mirrorAttributes = "* -text !crlf !eol !ident !filter !working-tree-encoding !diff !merge !whitespace !delta !encoding\n"
)

// mirrorOf opens or makes the mirror of an origin.
func (t *Trees) mirrorOf(ctx context.Context, name string, origin repo) (*mirror, error) {
	sum := sha256.Sum256([]byte(origin.dir))
	dir := filepath.Join(t.dir, MirrorsDir, name+"-"+hex.EncodeToString(sum[:6])+".git")
	t.mu.Lock()
	m := t.mirrors[dir]
	if m == nil {
		m = &mirror{repo: repo{dir: dir, sha256: origin.sha256}, passing: t.passing, treeOf: make(map[string]string)}
		t.mirrors[dir] = m
	}
	t.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sha256 != origin.sha256 {
		return nil, fault.New(fault.WorkspaceUnusable, "the repository changed its object format").At(origin.dir).
			Fix("rename the workspace")
	}
	if exists(dir) {
		return m, m.refresh(origin)
	}
	if err := m.make(ctx, origin); err != nil {
		return nil, fmt.Errorf("make mirror of %s: %w", origin.dir, err)
	}
	return m, nil
}

// make builds the mirror beside its place and moves it there when it is whole.
func (m *mirror) make(ctx context.Context, origin repo) error {
	tmp := m.dir + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	for _, d := range []string{"objects/info", "objects/pack", "refs/heads", "refs/drawspan/attempts", "refs/drawspan/bases", "info"} {
		if err := os.MkdirAll(filepath.Join(tmp, d), 0o700); err != nil {
			return err
		}
	}
	if err := (&mirror{repo: repo{dir: tmp, sha256: m.sha256}, passing: m.passing}).refresh(origin); err != nil {
		return err
	}
	if _, err := linkObjects(ctx, filepath.Join(origin.dir, "objects"), filepath.Join(tmp, "objects")); err != nil {
		return err
	}
	return os.Rename(tmp, m.dir)
}

// refresh writes the mirror's own files afresh, whatever became of them.
func (m *mirror) refresh(origin repo) error {
	config := fmt.Sprintf(mirrorConfig, 0)
	if m.sha256 {
		config = fmt.Sprintf(mirrorConfig, 1) + mirrorSHA256
	}
	for name, text := range map[string]string{
		"HEAD": "ref: refs/heads/none\n", "config": config, "info/attributes": mirrorAttributes, "info/exclude": "",
	} {
		if err := replaceFile(filepath.Join(m.dir, name), []byte(text), !m.passing); err != nil {
			return fmt.Errorf("write mirror's %s: %w", name, err)
		}
	}
	return m.copyShallow(origin)
}

// copyShallow takes over where the origin's history is cut off, so that git does not look for more.
func (m *mirror) copyShallow(origin repo) error {
	data, err := readSmall(filepath.Join(origin.dir, "shallow"), 16<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read where the history is cut off: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if !fullHex(strings.TrimSpace(line)) {
			return fmt.Errorf("read where the history is cut off: the file holds more than commit ids")
		}
	}
	return replaceFile(filepath.Join(m.dir, "shallow"), data, !m.passing)
}

func (m *mirror) objects() string { return filepath.Join(m.dir, "objects") }

func (m *mirror) refPath(ref string) string { return filepath.Join(m.dir, filepath.FromSlash(ref)) }

const basePrefix = "refs/drawspan/bases/"

// ref reads a ref of the mirror; empty when there is none. Mirrors are never packed, so a ref is a file.
func (m *mirror) ref(ref string) (string, error) {
	data, err := readSmall(m.refPath(ref), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	id := strings.TrimSpace(string(data))
	if !fullHex(id) {
		return "", fmt.Errorf("read %s: it holds no commit id", ref)
	}
	return id, nil
}

// setRef writes a ref of the mirror. Unless all is passing, the ref is on the disk before it returns, and with it, on journalling
// file systems, the objects whose writing was begun before.
func (m *mirror) setRef(ref, commit string) error {
	if err := replaceFile(m.refPath(ref), []byte(commit+"\n"), !m.passing); err != nil {
		return fmt.Errorf("write %s: %w", ref, err)
	}
	return nil
}

// holds reports whether the mirror is known to have the whole tree of a commit.
func (m *mirror) holds(commit string) bool { return exists(m.refPath(basePrefix + commit)) }

// bases are commits the mirror has, newest first, for the other side to leave out what they reach.
func (m *mirror) bases() ([]string, error) {
	entries, err := os.ReadDir(m.refPath(basePrefix))
	if err != nil {
		return nil, fmt.Errorf("list bases: %w", err)
	}
	type base struct {
		id string
		at int64
	}
	all := make([]base, 0, len(entries))
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fullHex(e.Name()) {
			all = append(all, base{e.Name(), fi.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(all, func(a, b base) int { return int(min(1, max(-1, b.at-a.at))) })
	ids := make([]string, 0, maxHaves)
	for _, b := range all[:min(len(all), maxHaves)] {
		ids = append(ids, b.id)
	}
	return ids, nil
}

// tree is the tree id of a commit.
func (m *mirror) tree(ctx context.Context, git *program, commit string) (string, error) {
	m.cache.Lock()
	id := m.treeOf[commit]
	m.cache.Unlock()
	if id != "" {
		return id, nil
	}
	out, err := git.run(ctx, call{repo: m.repo, args: []string{"rev-parse", "--verify", "--end-of-options", commit + "^{tree}"}})
	if err != nil {
		return "", fmt.Errorf("look up the tree of %s: %w", commit, err)
	}
	id = strings.TrimSpace(string(out))
	m.remember(commit, id)
	return id, nil
}

func (m *mirror) remember(commit, tree string) {
	m.cache.Lock()
	defer m.cache.Unlock()
	if len(m.treeOf) >= maxTreeCache {
		clear(m.treeOf)
	}
	m.treeOf[commit] = tree
}
