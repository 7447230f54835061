// Package mcp will offer the operations of the table in host/api as MCP tools, the same set for a
// local and for a remote planner. The room is empty until the relay's issue.
//
// Tools, their schemas and their documentation are made from the table; nothing is offered that the
// table does not list for this surface, and no tool runs a command or reads a path.
//
// It must not know who serves it, nor how an operation is carried out.
package mcp
