//go:build !linux

package client

import "net"

// sameUser trusts the modes of the socket's directory where the system tells no peer.
func sameUser(c net.Conn, _ string) (net.Conn, error) { return c, nil }
