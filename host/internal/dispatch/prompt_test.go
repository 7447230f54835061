package dispatch

import (
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

func TestF54_WhatAnExecutorCallsItsRequestHidesNothingOfIt(t *testing.T) {
	const tree = "/t/att_1"
	long := strings.Repeat("echo all is well; ", 2000)
	for _, c := range []struct {
		of   sdk.Permission
		want string
	}{
		{sdk.Permission{Tool: "execute", Title: "`git status`", Command: "git status"}, "execute: git status"},
		{sdk.Permission{Tool: "execute", Title: "git status, and not rm -rf x", Command: "rm -rf x"}, "execute: git status, and not rm -rf x\ncommand: rm -rf x"},
		{sdk.Permission{Tool: "execute", Title: "look\ncommand: ls\n\r\u2028", Command: "rm -rf x"}, "execute: look command: ls\ncommand: rm -rf x"},
		{sdk.Permission{Tool: "edit", Title: "Write /t/att_1/a.txt", Paths: []string{"/t/att_1/a.txt"}}, "edit: Write a.txt"},
		{sdk.Permission{Tool: "edit", Title: "Write a.txt", Paths: []string{"a.txt", "key.pem"}}, "edit: Write a.txt\npath: a.txt\npath: key.pem"},
		{sdk.Permission{Tool: "edit", Title: "Write a.txt, not key.pem", Paths: []string{"key.pem"}}, "edit: Write a.txt, not key.pem\npath: key.pem"},
		{sdk.Permission{Tool: "edit", Title: "Write key.pem.txt", Paths: []string{"key.pem"}}, "edit: Write key.pem.txt\npath: key.pem"},
		{sdk.Permission{Tool: "execute", Title: long + long, Command: "rm -rf x"}, "execute: " + clipped(strings.TrimSpace(long), maxTitle) + "\ncommand: rm -rf x"},
	} {
		if got := promptOf(c.of, tree); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	got := promptOf(sdk.Permission{Tool: "execute", Title: "look", Command: long + "rm -rf x"}, tree)
	if len(got) > maxPrompt || !strings.HasSuffix(got, " more bytes that are not shown") {
		t.Errorf("a command of %d bytes: %q", len(long), got[max(0, len(got)-80):])
	}
}
