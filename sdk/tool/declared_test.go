package tool_test

import (
	"errors"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

func TestWhatCouldNotRunIsRefusedByItsAttribute(t *testing.T) {
	for name, err := range map[string]error{
		"no program":              tool.CheckArgv("x", nil),
		"a program without name":  tool.CheckArgv("x", []string{"", "a"}),
		"a zero byte":             tool.CheckArgv("x", []string{"a", "b\x00"}),
		"a directory above":       tool.CheckDir("x", "../a"),
		"a directory by its root": tool.CheckDir("x", "/a"),
		"a directory with a zero": tool.CheckDir("x", "a\x00"),
		"a variable without name": tool.CheckEnv("x", map[string]string{"": "a"}),
		"a name with its value":   tool.CheckEnv("x", map[string]string{"A=": "a"}),
		"a value with a zero":     tool.CheckEnv("x", map[string]string{"A": "\x00"}),
	} {
		var refused *sdk.ConfigError
		if !errors.As(err, &refused) || refused.Attribute != "x" || refused.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(tool.CheckArgv("x", []string{"a", ""}), tool.CheckDir("x", ""), tool.CheckDir("x", "a/b"), tool.CheckEnv("x", map[string]string{"A": ""})); err != nil {
		t.Error(err)
	}
}

func TestAResultIsEvidence(t *testing.T) {
	ran := tool.Result{ExitCode: -1, Signal: "SIGKILL", Duration: time.Second}.Ran([]string{"a", "b"})
	if len(ran.Argv) != 2 || ran.ExitCode != -1 || ran.Signal != "SIGKILL" || ran.Duration != time.Second {
		t.Errorf("ran = %+v", ran)
	}
}
