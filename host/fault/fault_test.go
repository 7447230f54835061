package fault

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

func TestEveryDeclaredCodeHasItsRow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		declared++
		if !Code(text).Known() {
			t.Errorf("code %q has no row", text)
		}
		return true
	})
	if declared != len(Codes()) {
		t.Errorf("%d codes declared, %d rows", declared, len(Codes()))
	}
	for _, c := range Codes() {
		if c.HTTPStatus() < 400 || c.ExitCode() == ExitOK {
			t.Errorf("%s: status %d, exit %d", c, c.HTTPStatus(), c.ExitCode())
		}
	}
}

func TestAFaultIsFoundThroughWrapping(t *testing.T) {
	cause := errors.New("disk on fire")
	err := fmt.Errorf("open run: %w", Wrap(cause, NoSpace, "no space for %s", "x").At("state.db").Fix("free some"))
	if !Is(err, NoSpace) || CodeOf(err) != NoSpace || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if got, want := From(err).Error(), "state.db: no_space: no space for x: disk on fire"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnErrorWithoutAFaultTellsOutsidersNothing(t *testing.T) {
	f := From(errors.New("secret path /home/x"))
	if f.Code != Internal || f.Message == "" || f.Message == "secret path /home/x" {
		t.Errorf("got %+v", f)
	}
	if CodeOf(errors.New("x")) != Internal || Code("nope").HTTPStatus() != 500 || Code("nope").ExitCode() != ExitInternal {
		t.Error("unknown errors are not internal")
	}
}
