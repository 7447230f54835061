// Package connector will hold a daemon's one outbound, authenticated connection to a relay and carry
// allowed operations from it to the daemon's local API. The room is empty until the relay's issue.
//
// It opens no port, follows no redirect, and knows one way into the daemon: host/client. The compiler
// keeps it out of the daemon's rooms.
//
// It must not know the record, worktrees, plugins or any path of the machine it runs on.
package connector
