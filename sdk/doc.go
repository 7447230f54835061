// Package sdk is what an author of a drawspan plugin writes against: Executor and Validator, the
// values they receive, and the events and results they give back.
//
// An executor performs one attempt of a step inside its own sandbox and worktree. A validator judges
// one sealed tree. Both are separate programs; their main function is one call of sdk/plugin.Serve.
//
// What an executor says is a claim: the host looks at the tree, the gates and the process table and
// decides by those. It must not know: gRPC, go-plugin, the host. It imports the standard library only.
package sdk
