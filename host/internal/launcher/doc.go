// Package launcher is the life of drawspan-sandbox, the PID 1 of one confined process: it reads its
// specification from the daemon, builds the view, gives up every privilege, verifies by doing, reports,
// starts the payload when the daemon says so, and waits.
//
// It guarantees: nothing of the payload exists before the daemon accepted the report; the payload gets
// descriptors 0 to 2 and nothing else; the payload runs under the same Landlock domain and system call
// filter that the verification ran under; when the daemon's end of the control socket closes, for any
// reason, the launcher ends and the kernel kills everything in its namespace.
//
// The restrictions are put on one locked thread, from which the payload is forked. The other threads of
// PID 1, the main thread among them, stay outside the Landlock domain, so that the payload can neither
// signal nor trace PID 1; they hold no capability either.
//
// It must not know levels, policies, plugins, git or HTTP. It imports the standard library, x/sys and
// sandbox/spec: the program is started for each launch and must stay small.
package launcher
