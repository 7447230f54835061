package audit

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the right edge of an RFC 6962 tree: all that is needed to add leaves and to compute the root.
// The zero Tree is empty. A Tree is a value: adding to a copy leaves the original as it was.
type Tree struct {
	size int64
	edge []Hash // roots of the complete subtrees, largest first
}

// Size is the number of leaves.
func (t Tree) Size() int64 { return t.size }

// NextNode is the index of the first hash that the next Append makes.
func (t Tree) NextNode() int64 { return tlog.StoredHashIndex(0, t.size) }

// Append adds a leaf and returns the hashes to store, beginning at NextNode.
func (t *Tree) Append(leaf Hash) []Hash {
	stored := []Hash{leaf}
	edge := slices.Clone(t.edge)
	for n := t.size; n&1 == 1; n >>= 1 {
		leaf = tlog.NodeHash(edge[len(edge)-1], leaf)
		edge = edge[:len(edge)-1]
		stored = append(stored, leaf)
	}
	t.edge = append(edge, leaf)
	t.size++
	return stored
}

// Root is the root of the tree.
func (t Tree) Root() Hash {
	if t.size == 0 {
		return BodyDigest(nil, nil) // RFC 6962: the hash of nothing
	}
	h := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.edge[i], h)
	}
	return h
}

// Restore rebuilds the tree of the given size from stored hashes. Read answers with the hashes of the
// given indexes, in that order.
func Restore(size int64, read func(ix []int64) ([]Hash, error)) (Tree, error) {
	t := Tree{size: size}
	if size == 0 {
		return t, nil
	}
	// TreeHash asks for exactly the complete subtrees of the right edge, largest first.
	_, err := tlog.TreeHash(size, tlog.HashReaderFunc(func(ix []int64) ([]Hash, error) {
		edge, err := read(ix)
		t.edge = edge
		return edge, err
	}))
	if err != nil {
		return Tree{}, fmt.Errorf("restore tree of %d events: %w", size, err)
	}
	return t, nil
}
