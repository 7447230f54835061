// Package worktree is the only room that runs git. It makes one directory per attempt from a mirror
// that the host owns, and keeps what an attempt left as a commit.
//
// Guarantees:
//   - Nothing that a repository or an executor wrote is executed, taken as configuration or followed
//     out of the tree: git runs with an empty environment, fixed arguments, no hooks, no filters, no
//     file-system monitor, no external diff, and never discovers a repository inside a tree. The
//     .git file and the shadow git directory that Shadow makes are for the sandboxed side alone; they are
//     gone before the host's git looks at the tree.
//   - What is kept is byte for byte what was left: attributes of the repository change nothing.
//   - The operator's branches, index, HEAD, configuration and hooks are only read. The only things
//     written there are objects and refs under refs/drawspan/, and a branch where the operator asked Apply
//     for it.
//   - Commits that an executor made itself come in only as a pack that was bounded, checked and found to
//     hold what HEAD adds to the start and nothing else.
//   - A tree is removed only after its state is kept under a ref.
//
// It must not know runs, steps, executors, gates, storage or configuration files.
package worktree
