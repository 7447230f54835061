package main

import (
	"path/filepath"
	"regexp"
	"slices"
)

// language is what the tests of a language look like. Every pattern is held against one line.
type language struct {
	name string
	// kinds are the ends of the names that files and except are held against: most paths have none.
	kinds []string
	// files are those whose cases run; except wins over it.
	files, except *regexp.Regexp
	// inline tells that tests also stand in the files that they test.
	inline bool
	// cases hold the name of a test in their last group that matched.
	cases []*regexp.Regexp
	// marker stands before a test, whose name is then found by function.
	marker, function *regexp.Regexp
	// skips are lines because of which a test does not run.
	skips *regexp.Regexp
	// open and end are the ends of a comment over many lines.
	open, end string
}

// narrowed is the name of a Go file that is built for some systems only.
var narrowed = regexp.MustCompile(`_(aix|android|darwin|dragonfly|freebsd|illumos|ios|js|linux|netbsd|openbsd|plan9|solaris|wasip1|windows|386|amd64|arm|arm64|loong64|mips\w*|ppc64\w*|riscv64|s390x|wasm)_test\.go$`)

var languages = []language{
	{
		name:   "Go",
		kinds:  []string{".go"},
		files:  regexp.MustCompile(`_test\.go$`),
		except: regexp.MustCompile(`(^|/)(testdata|vendor|[._][^/]*)/|(^|/)[._][^/]*$`),
		cases: []*regexp.Regexp{
			regexp.MustCompile(`^func\s+(?:\(\s*\w*\s*\*?\w+\s*\)\s*)?((?:Test|Fuzz|Example)\w*)\s*\(`),
			regexp.MustCompile(`^\s+\w+\.Run\("((?:[^"\\]|\\.)*)",`),
		},
		skips: regexp.MustCompile(`^\s*(?:if\s.*\{\s*)?\w+\.Skip(?:f|Now)?\(|^//go:build\s|^// \+build\s`),
		open:  "/*", end: "*/",
	},
	{
		name:   "JavaScript",
		kinds:  []string{".js", ".jsx", ".ts", ".tsx", ".mjs", ".mjsx", ".mts", ".mtsx", ".cjs", ".cjsx", ".cts", ".ctsx"},
		files:  regexp.MustCompile(`\.(test|spec|cy|e2e)\.[cm]?[jt]sx?$|(^|/)(__tests__|tests?|spec)/.*\.[cm]?[jt]sx?$`),
		except: regexp.MustCompile(`(^|/)(node_modules|fixtures|__snapshots__|__mocks__)/`),
		cases: []*regexp.Regexp{
			regexp.MustCompile(`^\s*(?:await\s+)?(?:it|test|describe|suite|specify)(?:\.\w+)*(?:\([^"'` + "`" + `]*\))?\s*\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|` + "`([^`]*)`" + `)`),
		},
		skips: regexp.MustCompile(`\b(?:it|test|describe|suite|context|specify)(?:\.\w+)*\.(?:skip|only|todo|failing|fixme|skipIf|runIf)\b|^\s*(?:xit|xtest|xdescribe|xcontext|xspecify|fit|fdescribe)\s*\(|\b(?:this|t|ctx|context)\.skip\(|\b(?:skip|only|todo)\s*:\s*(?:true|['"` + "`" + `])`),
		open:  "/*", end: "*/",
	},
	{
		name:   "Python",
		kinds:  []string{".py"},
		files:  regexp.MustCompile(`(^|/)(test_[^/]*|[^/]*_test|tests?)\.py$`),
		except: regexp.MustCompile(`(^|/)(\.venv|venv|site-packages|node_modules)/`),
		cases: []*regexp.Regexp{
			regexp.MustCompile(`^\s*(?:async\s+)?def\s+(test\w*)\s*\(`),
			regexp.MustCompile(`^\s*class\s+(Test\w*|\w+Tests?|\w+TestCase)\b`),
		},
		skips: regexp.MustCompile(`^\s*@(?:\w+\.)*(?:skip\w*|xfail|expectedFailure)\b|\bpytest\.(?:skip|xfail|importorskip)\(|\bself\.skipTest\(|\braise\s+(?:unittest\.)?SkipTest\b|^\s*pytestmark\s*=.*\b(?:skip|skipif|xfail)\b|\bmarks\s*=.*\b(?:skip|skipif|xfail)\b|^\s*(?:__test__\s*=\s*False|collect_ignore)`),
		open:  `"""`, end: `"""`,
	},
	{
		name:     "Rust",
		kinds:    []string{".rs"},
		files:    regexp.MustCompile(`(^|/)tests/.*\.rs$|(^|/)tests?\.rs$|_tests?\.rs$`),
		except:   regexp.MustCompile(`(^|/)target/`),
		inline:   true,
		marker:   regexp.MustCompile(`^\s*#\[(?:\w+::)*(?:test|rstest|test_case|quickcheck|proptest|wasm_bindgen_test)(?:\(.*\))?\]`),
		function: regexp.MustCompile(`^\s*(?:pub\s+)?(?:async\s+)?(?:unsafe\s+)?fn\s+(\w+)`),
		skips:    regexp.MustCompile(`^\s*#!?\[(?:ignore\b|cfg_attr\(.*\bignore\b|cfg\((?:any\(\)|not\(test\)|FALSE|false))`),
		open:     "/*", end: "*/",
	},
	{
		name:     "Java",
		kinds:    []string{".java", ".kt", ".groovy"},
		files:    regexp.MustCompile(`(^|/)src/\w*[tT]est\w*/.*\.(java|kt|groovy)$|(^|/)(Test\w*|\w*(Tests?|TestCase|IT|Spec))\.(java|kt|groovy)$`),
		except:   regexp.MustCompile(`(^|/)(target|build)/`),
		marker:   regexp.MustCompile(`^\s*@(?:[\w.]+\.)?(?:Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Property)\b`),
		function: regexp.MustCompile("^\\s*(?:@[\\w.]+(?:\\([^)]*\\))?\\s*)*(?:(?:public|protected|private|static|final|default|suspend|open|override|internal|synchronized)\\s+)*(?:fun\\s+(?:`([^`]+)`|(\\w+))|(?:<[^>]+>\\s+)?[\\w.<>\\[\\], ?]+\\s+(\\w+))\\s*\\("),
		skips:    regexp.MustCompile(`^\s*@(?:[\w.]+\.)?(?:Disabled\w*|Ignore\w*|EnabledIf\w*|EnabledOn\w*)\b|\benabled\s*=\s*false\b|\b(?:Assumptions\.|Assume\.)?(?:assumeTrue|assumeFalse|assumeThat|abort)\(|\bthrow\s+new\s+(?:SkipException|TestAbortedException|AssumptionViolatedException)\b`),
		open:     "/*", end: "*/",
	},
}

// languageOf is the language by whose rules a file has tests, nil for none.
func languageOf(path string) *language {
	kind := filepath.Ext(path)
	for i := range languages {
		l := &languages[i]
		if slices.Contains(l.kinds, kind) && !l.except.MatchString(path) && (l.files.MatchString(path) || l.inline) {
			return l
		}
	}
	return nil
}

// testFile tells of a file that is there for its tests.
func testFile(path string) bool {
	l := languageOf(path)
	return l != nil && l.files.MatchString(path)
}

// nameIn is the last group that matched, "" for no match.
func nameIn(pattern *regexp.Regexp, text string) string {
	groups := pattern.FindStringSubmatch(text)
	for i := len(groups) - 1; i > 0; i-- {
		if groups[i] != "" {
			return groups[i]
		}
	}
	return ""
}

// caseIn is the test that a line declares, "" for none.
func (l *language) caseIn(text string) string {
	for _, pattern := range l.cases {
		if name := nameIn(pattern, text); name != "" {
			return name
		}
	}
	return ""
}
