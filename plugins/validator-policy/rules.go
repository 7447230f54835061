package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
)

// The bounds of one rule: its text, how deep it may nest, what it may cost to compile and to evaluate.
const (
	maxText    = 8 << 10
	maxDepth   = 100
	maxNodes   = 10_000
	maxProgram = 2_000     // of a regular expression
	maxCost    = 1_000_000 // of one evaluation, as CEL counts: a rule over 5000 files takes a tenth of it
	maxMemory  = 1_000_000 // values
	checkEvery = 1_000     // steps of a loop between two looks at the deadline
)

const globOverload = "string_glob_string"

// rule is one expression that must be true.
type rule struct {
	name, text, message string
	program             cel.Program
}

// ruleset are the rules of one configuration, by name.
type ruleset struct {
	adapter types.Adapter
	rules   []rule
}

// compile checks every rule: its grammar, its types, and that it looks at a fact.
func compile(s settings) (ruleset, error) {
	env, err := environment()
	if err != nil {
		return ruleset{}, err
	}
	set := ruleset{adapter: env.CELTypeAdapter()}
	for _, name := range slices.Sorted(maps.Keys(s.Rules)) {
		text := s.Rules[name]
		program, why := one(env, text)
		if why != "" {
			return ruleset{}, wrong("rules", "%s: %s", name, why)
		}
		set.rules = append(set.rules, rule{name, text, s.Messages[name], program})
	}
	return set, nil
}

func environment() (*cel.Env, error) {
	options := append(facts(),
		cel.ParserExpressionSizeLimit(maxText), cel.ParserRecursionLimit(maxDepth), cel.ExpressionNodeLimit(maxNodes),
		cel.CrossTypeNumericComparisons(true), cel.EagerlyValidateDeclarations(true), cel.OptionalTypes(),
		ext.Strings(), ext.Sets(), ext.Math(),
		cel.ASTValidators(cel.ValidateRegexLiterals()), cel.RegexProgramSizeLimit(maxProgram),
		cel.Function("glob", cel.MemberOverload(globOverload, []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(glob))),
	)
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	return env, nil
}

// glob is path.glob("src/**"), as in the paths of a workspace. The pattern was checked when it was compiled.
func glob(path, pattern ref.Val) ref.Val {
	p, okPath := path.(types.String)
	g, okGlob := pattern.(types.String)
	if !okPath || !okGlob {
		return types.MaybeNoSuchOverloadErr(path)
	}
	return types.Bool(doublestar.MatchUnvalidated(string(g), string(p)))
}

// globCost lets a glob cost what it has to read, in CEL's measure of ten letters.
type globCost struct{}

// CallCost is nil for what CEL counts itself.
func (globCost) CallCost(_, overload string, args []ref.Val, _ ref.Val) *uint64 {
	if overload != globOverload {
		return nil
	}
	cost := uint64(1)
	for _, a := range args {
		if s, ok := a.(types.String); ok {
			cost += uint64(len(s)) / 10
		}
	}
	return &cost
}

// one compiles one rule, or says what is wrong with it.
func one(env *cel.Env, text string) (cel.Program, string) {
	if len(text) > maxText {
		return nil, fmt.Sprintf("has %d bytes, more than %d", len(text), maxText)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, strings.TrimSpace(issues.Err().Error())
	}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		return nil, fmt.Sprintf("must be true or false, and is of the type %s", out)
	}
	if why := look(checked.NativeRep()); why != "" {
		return nil, why
	}
	program, err := env.Program(checked, cel.CostLimit(maxCost), cel.CostTracking(globCost{}), cel.MemoryLimit(maxMemory), cel.InterruptCheckFrequency(checkEvery),
		cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, err.Error()
	}
	return program, ""
}

// look refuses what no type shows: a rule over nothing, and a glob that is none or comes from the change itself.
func look(a *ast.AST) (why string) {
	depends := false
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			depends = depends || slices.Contains(names(), e.AsIdent())
		case ast.CallKind:
			if call := e.AsCall(); call.FunctionName() == "glob" && why == "" {
				why = literalGlob(call.Args())
			}
		case ast.ComprehensionKind:
			over := e.AsComprehension().IterRange()
			if gates := over.Kind() == ast.IdentKind && over.AsIdent() == nameGates; why == "" && !gates && a.GetType(over.ID()).Kind() == types.MapKind {
				why = "goes over a map, which has no order: name the keys that are meant"
			}
		}
	}))
	if why == "" && !depends {
		why = "depends on nothing: it uses none of " + strings.Join(names(), ", ")
	}
	return why
}

func literalGlob(args []ast.Expr) string {
	if len(args) != 1 || args[0].Kind() != ast.LiteralKind {
		return "glob() takes a literal, like c.path.glob('src/**')"
	}
	pattern, ok := args[0].AsLiteral().(types.String)
	if !ok || pattern == "" || !doublestar.ValidatePattern(string(pattern)) {
		return fmt.Sprintf("%q is not a glob", string(pattern))
	}
	return ""
}

// eval tells whether the rule holds.
func (r rule) eval(ctx context.Context, facts map[string]any) (holds bool, err error) {
	out, _, err := r.program.ContextEval(ctx, facts)
	if err != nil {
		return false, err
	}
	value, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it came to a %s", out.Type().TypeName())
	}
	return bool(value), nil
}

func (r rule) finding() sdk.Finding {
	sum := sha256.Sum256([]byte(r.name + "\x00" + r.text))
	f := sdk.Finding{
		Rule: "policy/" + r.name, Severity: "error", Fingerprint: "v1:" + hex.EncodeToString(sum[:16]),
		Message: r.message, Help: "The rule is " + r.text,
	}
	if f.Message == "" {
		f.Message, f.Help = fmt.Sprintf("%s: false is %s", r.name, r.text), ""
	}
	return f
}
