package worktree

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// object is one object as a pack has it.
type object struct {
	kind string
	data string
}

var packKinds = map[string]byte{"commit": packCommit, "tree": packTree, "blob": packBlob, "tag": 4}

func (o object) id() string {
	sum := sha1.Sum([]byte(fmt.Sprintf("%s %d\x00%s", o.kind, len(o.data), o.data)))
	return hex.EncodeToString(sum[:])
}

func (o object) raw() string {
	b, err := hex.DecodeString(o.id())
	if err != nil {
		panic(err)
	}
	return string(b)
}

// packHead is the head of an object: its kind and size.
func packHead(kind byte, size uint64) []byte {
	c := kind<<4 | byte(size&15)
	size >>= 4
	var out []byte
	for size > 0 {
		out = append(out, c|0x80)
		c = byte(size & 0x7f)
		size >>= 7
	}
	return append(out, c)
}

func deflate(data []byte) []byte {
	if len(data) < 1<<16 { // stored, which is quick to make
		b := []byte{0x78, 0x01, 1}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
		b = binary.LittleEndian.AppendUint16(b, ^uint16(len(data)))
		return binary.BigEndian.AppendUint32(append(b, data...), adler32.Checksum(data))
	}
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// packed makes a pack of parts that are as they lie in it.
func packed(count int, parts ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(count))
	for _, p := range parts {
		b = append(b, p...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

func packOf(objects ...object) []byte {
	var parts [][]byte
	for _, o := range objects {
		parts = append(parts, append(packHead(packKinds[o.kind], uint64(len(o.data))), deflate([]byte(o.data))...))
	}
	return packed(len(objects), parts...)
}

func commitOf(tree string, parents ...string) object {
	text := "tree " + tree + "\n"
	for _, p := range parents {
		text += "parent " + p + "\n"
	}
	return object{"commit", text + "author x <x@y> 1 +0000\ncommitter x <x@y> 1 +0000\n\nm\n"}
}

func entry(mode, name string, o object) string { return mode + " " + name + "\x00" + o.raw() }

// refuse imports what must be refused: quickly, with nothing of it left anywhere.
func refuse(t *testing.T, b *bench, head string, pack []byte, r ImportRequest) error {
	t.Helper()
	mirror, origin := objectFiles(t, b.w.mirror.dir), objectFiles(t, filepath.Join(b.root, ".git"))
	refs := run(t, b.root, "for-each-ref")
	got, err := takeFrom(t, b.tree, append([]byte(head+"\n"), pack...), r)
	if err == nil || got != (Imported{}) {
		t.Errorf("taken over: %+v", got)
	}
	same(t, "mirror's objects", objectFiles(t, b.w.mirror.dir), mirror)
	same(t, "operator's objects", objectFiles(t, filepath.Join(b.root, ".git")), origin)
	same(t, "refs", run(t, b.root, "for-each-ref"), refs)
	same(t, "mirror's ref", exists(b.w.mirror.refPath(CommitsPrefix+"att_1")), false)
	same(t, "quarantine", exists(filepath.Join(b.tree.home, importName)), false)
	return err
}

func TestF33_WhatGitFindsWrongInAPackIsRefused(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	blob := object{"blob", "x\n"}
	module := object{"blob", "[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c evil\n\tupdate = !evil\n"}
	dashed := object{"blob", "[submodule \"s\"]\n\tpath = s\n\turl = --upload-pack=evil\n"}
	climbing := object{"blob", "[submodule \"../../hooks\"]\n\tpath = s\n\turl = file:///x\n"}
	sub := object{"tree", entry("100644", "config", blob)}
	trees := map[string]object{
		"hasDotgit":          {"tree", entry("40000", ".git", sub)},
		"hasDotgit ":         {"tree", entry("40000", ".GIT", sub)},
		"hasDotgit  ":        {"tree", entry("40000", "git~1", sub)},
		"hasDotgit   ":       {"tree", entry("100644", ".g\u200cit", blob)},
		"hasDotdot":          {"tree", entry("40000", "..", sub)},
		"hasDot":             {"tree", entry("40000", ".", sub)},
		"fullPathname":       {"tree", entry("100644", "a/b", blob)},
		"badFilemode":        {"tree", entry("100666", "a", blob)},
		"badFilemode ":       {"tree", entry("104755", "a", blob)},
		"badFilemode  ":      {"tree", entry("20666", "a", blob)},
		"zeroPaddedFilemode": {"tree", entry("040000", "a", sub)},
		"duplicateEntries":   {"tree", entry("100644", "a", blob) + entry("100644", "a", blob)},
		"treeNotSorted":      {"tree", entry("100644", "b", blob) + entry("100644", "a", blob)},
		"gitmodulesSymlink":  {"tree", entry("120000", ".gitmodules", blob)},
		"gitmodulesUpdate":   {"tree", entry("100644", ".gitmodules", module)},
		"gitmodulesUrl":      {"tree", entry("100644", ".gitmodules", dashed)},
		"gitmodulesName":     {"tree", entry("100644", ".gitmodules", climbing)},
		"gitmodulesParse":    {"tree", entry("100644", ".gitmodules", object{"blob", "[[[\n"})},
		"nullSha1":           {"tree", "100644 a\x00" + strings.Repeat("\x00", 20)},
		"treeNotSorted ":     {"tree", "garbage"},
	}
	extra := []object{blob, module, dashed, climbing, {"blob", "[[[\n"}, sub}
	for want, tree := range trees {
		objects := []object{}
		for _, o := range extra {
			if strings.Contains(tree.data, o.raw()) || o == blob && strings.Contains(tree.data, sub.raw()) {
				objects = append(objects, o)
			}
		}
		c := commitOf(tree.id(), b.base)
		err := refuse(t, b, c.id(), packOf(append(objects, tree, c)...), ImportRequest{})
		wantCode(t, err, fault.TreeRefused)
		if want = strings.TrimSpace(want); want == "treeNotSorted" && tree.data == "garbage" {
			want = "index-pack"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	bad := object{"commit", "tree " + trees["hasDot"].id() + "\nparent " + b.base + "\nauthor x\n\n"}
	wantCode(t, refuse(t, b, bad.id(), packOf(bad), ImportRequest{}), fault.TreeRefused)
}

func TestF33_HistoriesThatDoNotFitAreRefused(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	tree := object{"tree", entry("100644", "a", object{"blob", "2\n"})}
	blob := object{"blob", "2\n"}
	empty := object{"tree", ""}
	orphan := commitOf(tree.id())
	good := commitOf(tree.id(), b.base)
	second := commitOf(tree.id(), good.id())
	tag := object{"tag", "object " + good.id() + "\ntype commit\ntag x\ntagger x <x@y> 1 +0000\n\nm\n"}
	unknown := commitOf(tree.id(), b.base, strings.Repeat("ab", 20))
	holed := commitOf(object{"tree", entry("100644", "a", object{"blob", "nowhere\n"})}.id(), b.base)
	holedTree := object{"tree", entry("100644", "a", object{"blob", "nowhere\n"})}
	confused := object{"tree", entry("40000", "a", blob)}
	confusedHead := commitOf(confused.id(), b.base)
	cases := map[string]struct {
		head string
		pack []byte
		says string
	}{
		"an unrelated history":        {orphan.id(), packOf(blob, tree, orphan), "does not come after"},
		"the base itself":             {b.base, packOf(blob), "where the attempt began"},
		"an older commit":             {run(t, b.root, "rev-parse", "HEAD^{tree}"), packOf(blob, tree, good), "is not a commit"},
		"a tree":                      {tree.id(), packOf(blob, tree), "is not a commit"},
		"a tag":                       {tag.id(), packOf(blob, tree, good, tag), "no commit, tree or file"},
		"a commit that is not there":  {strings.Repeat("12", 20), packOf(blob, tree, good), "is not a commit"},
		"a missing parent":            {second.id(), packOf(blob, tree, second), "git "},
		"a missing second parent":     {unknown.id(), packOf(blob, tree, unknown), "git "},
		"a missing tree":              {good.id(), packOf(good), "git "},
		"a missing file":              {holed.id(), packOf(holedTree, holed), "git "},
		"a file in place of a tree":   {confusedHead.id(), packOf(blob, confused, confusedHead), "git "},
		"an object that nobody needs": {good.id(), packOf(blob, tree, good, object{"blob", "smuggled\n"}), "does not need"},
		"a commit that nobody needs":  {good.id(), packOf(blob, tree, good, second), "does not need"},
		"a tree that nobody needs":    {good.id(), packOf(blob, tree, good, empty), "does not need"},
	}
	for name, c := range cases {
		err := refuse(t, b, c.head, c.pack, ImportRequest{})
		if !fault.Is(err, fault.TreeRefused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	_, err := b.tree.Import(t.Context(), ImportRequest{Head: "../../hooks/x", Pack: bytes.NewReader(nil)})
	wantCode(t, err, fault.TreeRefused)
	if got, err := takeFrom(t, b.tree, append([]byte(second.id()+"\n"), packOf(blob, tree, good, second)...), ImportRequest{}); err != nil || got.Count != 2 {
		t.Errorf("the same, but right: %+v, %v", got, err)
	}
}

func TestF33_PacksWithoutEndAreCutOff(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	zeros := func(n int) []byte { return deflate(make([]byte, n)) }
	blob := object{"blob", "2\n"}
	tree := object{"tree", entry("100644", "a", blob)}
	good := commitOf(tree.id(), b.base)
	base := object{"blob", strings.Repeat("x", 1<<16)}
	// A delta that copies 64 KiB from its base again and again: 7 bytes for each.
	delta := func(times uint64) []byte {
		d := binary.AppendUvarint(nil, 1<<16)
		d = binary.AppendUvarint(d, times<<16)
		return append(d, bytes.Repeat([]byte{0x80}, int(times))...)
	}
	huge := packOf(base)
	var many []object
	for i := range 300 {
		many = append(many, object{"blob", fmt.Sprint(i)})
	}
	chain := []object{blob, tree, good}
	for i := range 30 {
		chain = append(chain, commitOf(tree.id(), chain[2+i].id()))
	}
	refDelta := func(size uint64, d []byte) []byte {
		return append(append(packHead(packRefDelta, size), base.raw()...), deflate(d)...)
	}
	d, half := delta(1<<16), delta(3<<13)
	nested := func(depth int) (string, []byte) {
		top, mode := blob, "100644"
		all := []object{blob}
		for range depth {
			top, mode = object{"tree", entry(mode, "d", top)}, "40000"
			all = append(all, top)
		}
		c := commitOf(top.id(), b.base)
		return c.id(), packOf(append(all, c)...)
	}
	deepHead, deep := nested(300)
	wrong := packOf(blob, tree, good)
	wrong[len(wrong)-1] ^= 1
	endlessHead, endless := nested(100_000)
	longName := object{"tree", entry("100644", strings.Repeat("n", 3000), blob)}
	longHead := commitOf(longName.id(), b.base)
	cases := map[string]struct {
		head string
		pack []byte
		r    ImportRequest
		code fault.Code
		says string
	}{
		"bytes":              {good.id(), packOf(object{"blob", randomText(1 << 20)}), ImportRequest{MaxBytes: 1 << 16}, fault.TooLarge, "more than 65536 bytes"},
		"objects":            {good.id(), packOf(many...), ImportRequest{MaxObjects: 200}, fault.TooLarge, "300 objects"},
		"objects it claims":  {good.id(), packed(1<<32 - 1), ImportRequest{}, fault.TooLarge, "4294967295 objects"},
		"commits":            {chain[len(chain)-1].id(), packOf(chain...), ImportRequest{MaxCommits: 10}, fault.TooLarge, "more than 10 commits"},
		"a file of 3 GiB":    {good.id(), packed(1, packHead(packBlob, 3<<30), zeros(1<<20)), ImportRequest{}, fault.TooLarge, "3221225472 bytes"},
		"a tree of 1 GiB":    {good.id(), packed(1, packHead(packTree, 1<<30), zeros(1<<20)), ImportRequest{}, fault.TooLarge, "1073741824 bytes"},
		"a size of 2^63":     {good.id(), packed(1, packHead(packBlob, 1<<63), zeros(1)), ImportRequest{}, fault.TreeRefused, "out of all bounds"},
		"more than it says":  {good.id(), packed(1, packHead(packBlob, 100), zeros(1<<24)), ImportRequest{}, fault.TreeRefused, "another size"},
		"less than it says":  {good.id(), packed(1, packHead(packBlob, 1<<20), zeros(100)), ImportRequest{}, fault.TreeRefused, "another size"},
		"a delta of 4 GiB":   {good.id(), packed(2, huge[12:len(huge)-20], refDelta(uint64(len(d)), d)), ImportRequest{}, fault.TooLarge, "4294967296 bytes"},
		"a delta of 1.5 GiB": {good.id(), packed(2, huge[12:len(huge)-20], refDelta(uint64(len(half)), half)), ImportRequest{}, fault.TreeRefused, "Out of memory"},
		"what is not packed": {good.id(), packed(1, packHead(packBlob, 3), []byte("not compressed")), ImportRequest{}, fault.TreeRefused, "not compressed"},
		"cut short":          {good.id(), packOf(blob, tree, good)[:60], ImportRequest{}, fault.TreeRefused, "too early"},
		"nothing":            {good.id(), nil, ImportRequest{}, fault.TreeRefused, "too early"},
		"a tail":             {good.id(), append(packOf(blob, tree, good), 0), ImportRequest{}, fault.TreeRefused, "something comes after"},
		"another format":     {good.id(), []byte("# v2 git bundle\n"), ImportRequest{}, fault.TreeRefused, "does not begin"},
		"a wrong sum":        {good.id(), wrong, ImportRequest{}, fault.TreeRefused, "corrupted"},
		"a base elsewhere":   {good.id(), packed(1, append(append(packHead(packRefDelta, 4), object{"blob", "1\n"}.raw()...), deflate([]byte{2, 2, 0x90, 2})...)), ImportRequest{}, fault.TreeRefused, "unresolved delta"},
		"depth":              {deepHead, deep, ImportRequest{}, fault.TreeRefused, "more than 256 parts"},
		"depth without end":  {endlessHead, endless, ImportRequest{}, fault.TreeRefused, ""},
		"a long name":        {longHead.id(), packOf(blob, longName, longHead), ImportRequest{}, fault.TreeRefused, "more than 2048 bytes"},
	}
	for name, c := range cases {
		err := refuse(t, b, c.head, c.pack, c.r)
		if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s %q", name, err, c.code, c.says)
		}
	}
}

// Many megabytes of zeros in a few kilobytes, in a file that is no larger than allowed, many times over: the
// sum is bounded too.
func TestF33_APackThatUnfoldsToTooMuchIsCutOff(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	one := append(packHead(packBlob, 16<<20), deflate(make([]byte, 16<<20))...)
	pack := packed(5, one, one, one, one, one)
	err := refuse(t, b, strings.Repeat("12", 20), pack, ImportRequest{MaxInflated: 64 << 20})
	wantCode(t, err, fault.TooLarge)
}

func randomText(n int) string {
	var b strings.Builder
	for i := uint64(88172645463325252); b.Len() < n; {
		i ^= i << 13
		i ^= i >> 7
		i ^= i << 17
		fmt.Fprintf(&b, "%x", i)
	}
	return b.String()
}

func FuzzScanPack(f *testing.F) {
	blob := object{"blob", "2\n"}
	f.Add(packOf(blob, object{"tree", entry("100644", "a", blob)}))
	f.Add(packed(1, packHead(packOfsDelta, 4), []byte{1}, deflate([]byte{1, 2, 3, 4})))
	f.Add(packed(1<<32 - 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		err := scanPack(&out, bytes.NewReader(data), packBounds{bytes: 1 << 16, objects: 100, inflated: 1 << 20})
		if err == nil && !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%d bytes in, %d out", len(data), out.Len())
		}
		if !bytes.HasPrefix(data, out.Bytes()) {
			t.Error("git is given what was not in the pack")
		}
		if err != nil && fault.CodeOf(err) != fault.TreeRefused && fault.CodeOf(err) != fault.TooLarge {
			t.Errorf("no reason: %v", err)
		}
	})
}
