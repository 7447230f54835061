package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// environmentReaders may look at the environment; everybody else is told. sdk/plugin is what the main
// of every plugin consists of.
var environmentReaders = []string{"host/internal/cli", "sdk/plugin"}

// talkers may print; everybody else logs or returns.
var talkers = []string{"host/internal/cli", "scripts/..."}

// gitRunners may run git: one room does, with the environment and flags that make hostile repositories
// harmless. The bench measures git itself, and the escape catalogue tries to misuse it, on repositories that
// they made.
var gitRunners = []string{"host/internal/worktree", "host/bench", "host/escape/..."}

// habit is one thing that the house does not do, seen file by file.
type habit func(t *tree, r *room, s *source) []string

// checkHabits walks every hand-written file past every habit.
func checkHabits(t *tree, rules []rule) []string {
	habits := []habit{noSleepInTests, noRootlessContext, noContextInStruct, noLostError, noDecisionByText,
		noInit, noEnvironment, noPrint, noLogAndReturn}
	var bad []string
	for _, dir := range t.dirs() {
		r := t.rooms[dir]
		for _, s := range r.sources {
			if s.generated {
				continue
			}
			for _, h := range habits {
				bad = append(bad, h(t, r, s)...)
			}
			switch {
			case !startsProcesses(rules, dir):
				bad = append(bad, noHiddenExec(t, r, s)...)
			case !mayDo(dir, gitRunners):
				bad = append(bad, noGit(t, r, s)...)
			}
		}
		bad = append(bad, mutableVars(t, r)...)
	}
	return bad
}

func startsProcesses(rules []rule, dir string) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return matches(r.room, dir) && r.allows("os/exec") })
}

func mayDo(dir string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return matches(p, dir) })
}

// calls lists the calls of pkg.name in a file, by the package's usual name.
func calls(t *tree, s *source, pkg string, names ...string) []string {
	var found []string
	ast.Inspect(s.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		if ok && id.Name == pkg && id.Obj == nil && slices.Contains(names, sel.Sel.Name) {
			found = append(found, fmt.Sprintf("%s: %s.%s", t.at(sel.Pos()), pkg, sel.Sel.Name))
		}
		return true
	})
	return found
}

func because(found []string, why string) []string {
	for i := range found {
		found[i] += " " + why
	}
	return found
}

// noGit refuses the name of the git program in a room that starts processes.
func noGit(t *tree, _ *room, s *source) []string {
	if s.test {
		return nil
	}
	var bad []string
	ast.Inspect(s.ast, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text := strings.Trim(lit.Value, "`\"")
		if text == "git" || strings.HasSuffix(text, "/git") {
			bad = append(bad, t.at(lit.Pos())+": git is run by host/internal/worktree alone")
		}
		return true
	})
	return bad
}

func noSleepInTests(t *tree, _ *room, s *source) []string {
	if !s.test {
		return nil
	}
	return because(calls(t, s, "time", "Sleep"), "in a test: wait for the event, or use testing/synctest")
}

func noRootlessContext(t *tree, r *room, s *source) []string {
	if s.test || r.main() {
		return nil
	}
	return because(calls(t, s, "context", "Background", "TODO"), "outside mains and tests: take the caller's context")
}

func noContextInStruct(t *tree, _ *room, s *source) []string {
	var bad []string
	ast.Inspect(s.ast, func(n ast.Node) bool {
		st, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range st.Fields.List {
			if sel, ok := f.Type.(*ast.SelectorExpr); ok && isIdent(sel.X, "context") && sel.Sel.Name == "Context" {
				bad = append(bad, t.at(f.Pos())+": a context kept in a struct: pass it as an argument")
			}
		}
		return true
	})
	return bad
}

func isIdent(x ast.Expr, name string) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == name
}

// noLostError wants a reason on the line where the result of a call is thrown away.
func noLostError(t *tree, _ *room, s *source) []string {
	reasons := map[int]bool{}
	for _, g := range s.ast.Comments {
		reasons[t.fset.Position(g.Pos()).Line] = true
	}
	var bad []string
	ast.Inspect(s.ast, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || a.Tok != token.ASSIGN || len(a.Rhs) != 1 {
			return true
		}
		_, call := a.Rhs[0].(*ast.CallExpr)
		blank := !slices.ContainsFunc(a.Lhs, func(x ast.Expr) bool { return !isIdent(x, "_") })
		if call && blank && !reasons[t.fset.Position(a.End()).Line] {
			bad = append(bad, t.at(a.Pos())+": a call's result is thrown away without a reason on the line")
		}
		return true
	})
	return bad
}

// noDecisionByText refuses strings.Contains(err.Error(), ...) and its sisters. A test may look at what
// a message says, because the message is what it tests.
func noDecisionByText(t *tree, _ *room, s *source) []string {
	if s.test {
		return nil
	}
	var bad []string
	ast.Inspect(s.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !isIdent(sel.X, "strings") || !slices.Contains([]string{"Contains", "HasPrefix", "HasSuffix", "EqualFold"}, sel.Sel.Name) {
			return true
		}
		if inner, ok := call.Args[0].(*ast.CallExpr); ok {
			if m, ok := inner.Fun.(*ast.SelectorExpr); ok && m.Sel.Name == "Error" && len(inner.Args) == 0 {
				bad = append(bad, t.at(call.Pos())+": decides by an error's text: use errors.Is or a fault code")
			}
		}
		return true
	})
	return bad
}

func noInit(t *tree, _ *room, s *source) []string {
	var bad []string
	for _, f := range functions(s) {
		if f.Recv == nil && f.Name.Name == "init" {
			bad = append(bad, t.at(f.Pos())+": init(): do it where the value is made")
		}
	}
	return bad
}

func noEnvironment(t *tree, r *room, s *source) []string {
	if s.test || r.main() || mayDo(r.dir, environmentReaders) {
		return nil
	}
	found := calls(t, s, "os", "Getenv", "LookupEnv", "Environ", "ExpandEnv")
	return because(found, "outside the command line and mains: take it as a value")
}

func noPrint(t *tree, r *room, s *source) []string {
	if s.test || r.main() || mayDo(r.dir, talkers) {
		return nil
	}
	found := calls(t, s, "fmt", "Print", "Printf", "Println")
	return because(found, "outside the command line, mains and scripts: log it or return it")
}

func noHiddenExec(t *tree, _ *room, s *source) []string {
	if s.test {
		return nil
	}
	found := calls(t, s, "os", "StartProcess")
	found = append(found, calls(t, s, "syscall", "StartProcess", "ForkExec", "Exec")...)
	found = append(found, calls(t, s, "unix", "Exec")...)
	return because(found, "in a room that may not start processes")
}

// logVerbs are the methods by which loggers are told something.
var logVerbs = []string{"Trace", "Debug", "Info", "Warn", "Error", "Log", "Print", "Printf", "Println"}

// noLogAndReturn refuses to handle one error twice.
func noLogAndReturn(t *tree, _ *room, s *source) []string {
	if s.test {
		return nil
	}
	var bad []string
	ast.Inspect(s.ast, func(n ast.Node) bool {
		b, ok := n.(*ast.BlockStmt)
		if !ok {
			return true
		}
		for i, stmt := range b.List {
			name := loggedError(stmt)
			if name != "" && slices.ContainsFunc(b.List[i+1:], func(l ast.Stmt) bool { return returns(l, name) }) {
				bad = append(bad, fmt.Sprintf("%s: logs %s and returns it: handle an error once", t.at(stmt.Pos()), name))
			}
		}
		return true
	})
	return bad
}

// loggedError is the error variable that a statement gives to a logger, or "".
func loggedError(stmt ast.Stmt) string {
	e, ok := stmt.(*ast.ExprStmt)
	if !ok {
		return ""
	}
	call, ok := e.X.(*ast.CallExpr)
	if !ok {
		return ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(logVerbs, sel.Sel.Name) {
		return ""
	}
	for _, arg := range call.Args {
		if id, ok := arg.(*ast.Ident); ok && (id.Name == "err" || strings.HasSuffix(id.Name, "Err")) {
			return id.Name
		}
	}
	return ""
}

func returns(stmt ast.Stmt, name string) bool {
	r, ok := stmt.(*ast.ReturnStmt)
	if !ok {
		return false
	}
	found := false
	for _, x := range r.Results {
		ast.Inspect(x, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == name {
				found = true
			}
			return !found
		})
	}
	return found
}
