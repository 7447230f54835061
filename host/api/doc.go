// Package api is the daemon's API, version 1: the operation table and the request and response shapes.
//
// Routes, the client, the command line, the connector's dispatch, MCP tools, scopes, OpenAPI and the
// reference are made from the one table; a test per surface holds them equal. JSON field names are
// stable within version 1.
//
// It must not know storage, the states' internals or any transport beyond naming a path. It imports
// the standard library and host/fault only.
package api
