// Package client is the Go client of the daemon's API.
//
// It guarantees: a request is one operation of host/api's table with the table's types; a failure comes
// back as the *fault.Fault that the daemon made, with the same code; a daemon that does not run is
// fault.Unavailable; redirects are never followed and no proxy is used; a followed log resumes after a
// broken connection without a lost or doubled event.
//
//	c := client.Open(client.Options{Socket: path, Name: "cli"})
//	run, err := client.Call[api.Run](ctx, c, api.OpRunOpen, api.RunOpenRequest{Workspace: "api"})
//
// It must not know any room of the daemon.
package client
