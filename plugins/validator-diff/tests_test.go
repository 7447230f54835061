package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

const (
	goTests = "package a\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tone()\n}\n\nfunc TestTwo(t *testing.T) {\n\ttwo()\n}\n"
	goOne   = "package a\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tone()\n}\n"
	goTwo   = "package a\n\nimport \"testing\"\n\nfunc TestTwo(t *testing.T) {\n\ttwo()\n}\n"
	jsTests = "describe('sum', () => {\n  it('adds', () => {\n    expect(sum(1, 2)).toBe(3)\n  })\n  test(\"nothing\", async () => {})\n})\n"
	pyTests = "import pytest\n\n\nclass TestSum:\n    def test_adds(self):\n        assert add(1, 2) == 3\n\n    async def test_waits(self):\n        pass\n"
	rsTests = "fn add() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n        assert!(true);\n    }\n\n    #[tokio::test]\n    async fn waits() {\n        wait();\n    }\n}\n"
	jaTests = "class SumTest {\n  @Test\n  @DisplayName(\"adds\")\n  void adds() {\n    check(1);\n  }\n\n  @ParameterizedTest(name = \"x\")\n  public void each(int n) throws Exception {\n    check(n);\n  }\n}\n"
	ktTests = "class SumTest {\n  @Test\n  fun `adds two`() {\n    check(1)\n  }\n}\n"
)

// without is a text without what stands between two others, the first included.
func without(t *testing.T, text, from, to string) string {
	t.Helper()
	head, rest, ok := strings.Cut(text, from)
	if !ok {
		t.Fatalf("no %q", from)
	}
	if to == "" {
		return head
	}
	_, tail, ok := strings.Cut(rest, to)
	if !ok {
		t.Fatalf("no %q", to)
	}
	return head + to + tail
}

func replaced(t *testing.T, text, from, to string) string {
	t.Helper()
	if !strings.Contains(text, from) {
		t.Fatalf("no %q", from)
	}
	return strings.Replace(text, from, to, 1)
}

// F15: an executor cannot make a gate green by taking its tests away.
func TestF15_DeletedTestsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		before, after files
		told          []string
		message       string
	}{
		"go, a file":            {files{"a_test.go": goTests}, nil, []string{"a_test.go"}, `TestOne, TestTwo`},
		"go, a function":        {files{"a_test.go": goTests}, files{"a_test.go": goTwo}, []string{"a_test.go:5"}, `TestOne`},
		"go, a new name":        {files{"a_test.go": goTests}, files{"a_test.go": replaced(t, goTests, "TestOne", "testOne")}, []string{"a_test.go:5"}, `TestOne`},
		"go, out of tests":      {files{"a_test.go": goTests}, files{"a.go": goTests}, []string{"a_test.go"}, "TestOne"},
		"go, into testdata":     {files{"a_test.go": goTests}, files{"testdata/a_test.go": goTests}, []string{"a_test.go"}, "TestOne"},
		"go, to another system": {files{"a_test.go": goTests}, files{"a_windows_test.go": goTests}, []string{"a_test.go"}, "TestOne"},
		"go, commented out":     {files{"a_test.go": goOne}, files{"a_test.go": replaced(t, goOne, "func Test", "// func Test")}, []string{"a_test.go:5"}, "TestOne"},
		"go, in a comment":      {files{"a_test.go": goTests}, files{"a_test.go": replaced(t, goTests, "func TestOne", "/*\nfunc TestOne") + "*/\n"}, []string{"a_test.go:6"}, "comment"},
		"go, a case": {files{"a_test.go": "func TestA(t *testing.T) {\n\tt.Run(\"x y\", f)\n\tt.Run(\"z\", f)\n}\n"},
			files{"a_test.go": "func TestA(t *testing.T) {\n\tt.Run(\"z\", f)\n}\n"}, []string{"a_test.go:2"}, "x y"},
		"go, a method": {files{"a_test.go": "func (s *Suite) TestA() {\n}\n"}, files{"a_test.go": "package a\n"}, []string{"a_test.go:1"}, "TestA"},
		"go, skipped":  {files{"a_test.go": goTests}, files{"a_test.go": replaced(t, goTests, "\tone()", "\tt.Skip(\"later\")\n\tone()")}, []string{"a_test.go:6"}, "later"},
		"go, moved and skipped": {files{"a_test.go": goTests}, files{"b_test.go": replaced(t, goTests, "\tone()", "\tt.SkipNow()\n\tone()")},
			[]string{"b_test.go:6"}, "SkipNow"},
		"go, not built":   {files{"a_test.go": goTests}, files{"a_test.go": "//go:build never\n\n" + goTests}, []string{"a_test.go:1"}, "never"},
		"go, binary":      {files{"a_test.go": goTests}, files{"a_test.go": goTests + "\x00"}, []string{"a_test.go"}, "binary"},
		"go, a link":      {files{"a_test.go": goTests}, files{"a_test.go": "link:/dev/null"}, []string{"a_test.go"}, "TestOne"},
		"js, a file":      {files{"src/sum.test.ts": jsTests}, nil, []string{"src/sum.test.ts"}, "sum, adds, nothing"},
		"js, a case":      {files{"sum.spec.js": jsTests}, files{"sum.spec.js": without(t, jsTests, "  it('adds'", "  test(")}, []string{"sum.spec.js:2"}, "adds"},
		"js, skip":        {files{"__tests__/sum.js": jsTests}, files{"__tests__/sum.js": replaced(t, jsTests, "it('adds'", "it.skip('adds'")}, []string{"__tests__/sum.js:2"}, "it.skip"},
		"js, only":        {files{"sum.test.js": jsTests}, files{"sum.test.js": replaced(t, jsTests, "test(\"nothing\"", "test.only(\"nothing\"")}, []string{"sum.test.js:5"}, "only"},
		"js, x":           {files{"sum.test.js": jsTests}, files{"sum.test.js": replaced(t, jsTests, "  it('adds'", "  xit('adds'")}, []string{"sum.test.js:2", "sum.test.js:2"}, "adds"},
		"python, a file":  {files{"tests/test_sum.py": pyTests}, nil, []string{"tests/test_sum.py"}, "TestSum, test_adds, test_waits"},
		"python, a case":  {files{"test_sum.py": pyTests}, files{"test_sum.py": without(t, pyTests, "    async def test_waits", "")}, []string{"test_sum.py:7"}, "test_waits"},
		"python, renamed": {files{"test_sum.py": pyTests}, files{"test_sum.py": replaced(t, pyTests, "class TestSum", "class Sum")}, []string{"test_sum.py:4"}, "TestSum"},
		"python, skipped": {files{"test_sum.py": pyTests}, files{"test_sum.py": replaced(t, pyTests, "    def test_adds", "    @pytest.mark.skip(reason=\"x\")\n    def test_adds")},
			[]string{"test_sum.py:5"}, "pytest.mark.skip"},
		"python, all skipped": {files{"test_sum.py": pyTests}, files{"test_sum.py": replaced(t, pyTests, "\n\nclass", "\npytestmark = pytest.mark.skip\n\nclass")}, []string{"test_sum.py:3"}, "pytestmark"},
		"python, in a text":   {files{"test_sum.py": pyTests}, files{"test_sum.py": replaced(t, pyTests, "    def test_adds", "    \"\"\"\n    def test_adds") + "    \"\"\"\n"}, []string{"test_sum.py:6"}, "comment"},
		"rust, a case":        {files{"src/lib.rs": rsTests}, files{"src/lib.rs": without(t, rsTests, "    #[test]", "    #[tokio")}, []string{"src/lib.rs:5"}, "adds"},
		"rust, the second":    {files{"src/lib.rs": rsTests}, files{"src/lib.rs": without(t, rsTests, "\n    #[tokio", "") + "}\n"}, []string{"src/lib.rs:9"}, "waits"},
		"rust, no test":       {files{"src/lib.rs": rsTests}, files{"src/lib.rs": replaced(t, rsTests, "    #[test]\n", "")}, []string{"src/lib.rs:5"}, "adds"},
		"rust, ignored":       {files{"src/lib.rs": rsTests}, files{"src/lib.rs": replaced(t, rsTests, "    #[test]\n", "    #[test]\n    #[ignore]\n")}, []string{"src/lib.rs:6"}, "ignore"},
		"rust, a file":        {files{"tests/sum.rs": rsTests}, nil, []string{"tests/sum.rs"}, "adds, waits"},
		"java, a file":        {files{"src/test/java/SumTest.java": jaTests}, nil, []string{"src/test/java/SumTest.java"}, "adds, each"},
		"java, a case":        {files{"SumTest.java": jaTests}, files{"SumTest.java": without(t, jaTests, "  @ParameterizedTest", "") + "}\n"}, []string{"SumTest.java:8"}, "each"},
		"java, disabled":      {files{"SumTest.java": jaTests}, files{"SumTest.java": replaced(t, jaTests, "  @Test\n", "  @Test\n  @Disabled(\"flaky\")\n")}, []string{"SumTest.java:3"}, "@Disabled"},
		"java, no test":       {files{"SumTest.java": jaTests}, files{"SumTest.java": replaced(t, jaTests, "  @Test\n", "")}, []string{"SumTest.java:3"}, "adds"},
		"kotlin, a case":      {files{"SumTest.kt": ktTests}, files{"SumTest.kt": "class SumTest {\n}\n"}, []string{"SumTest.kt:2"}, "adds two"},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, `{"binary":"ignore","symlink":"ignore","hidden_character":"ignore"}`, changed(t, c.before, c.after))
			for i := range c.told {
				c.told[i] = "deleted-test " + c.told[i]
			}
			if got := told(v); v.Outcome != sdk.Fail || !slices.Equal(got, c.told) || !strings.Contains(v.Message, c.message) {
				t.Errorf("%s %q (%s), want %q with %q", v.Outcome, got, v.Message, c.told, c.message)
			}
		})
	}
}

func TestTestsThatStayAreNotMissed(t *testing.T) {
	for name, c := range map[string]struct{ before, after files }{
		"new tests":             {files{"a_test.go": goOne}, files{"a_test.go": goTests}},
		"a new file":            {nil, files{"a_test.go": goTests, "b.test.js": jsTests, "test_c.py": pyTests, "d.rs": rsTests, "ETest.java": jaTests}},
		"a new file that skips": {nil, files{"a_test.go": "//go:build linux\n\n" + replaced(t, goTests, "\tone()", "\tt.Skip()")}},
		"another body":          {files{"a_test.go": goTests}, files{"a_test.go": replaced(t, goTests, "one()", "uno()")}},
		"another order":         {files{"a_test.go": goTests}, files{"a_test.go": goTwo + goOne}},
		"a moved file":          {files{"a_test.go": goTests}, files{"b/a_test.go": goTests}},
		"a moved test":          {files{"a_test.go": goTests}, files{"a_test.go": goTwo, "b_test.go": goOne}},
		"split in two":          {files{"a_test.go": goTests}, files{"b_test.go": goTwo, "c_test.go": goOne}},
		"moved, nothing known":  {files{"a_test.go": "package a\n"}, files{"b/a_test.go": "package b\n"}},
		"a skip that moves":     {files{"a_test.go": replaced(t, goTests, "\tone()", "\tt.Skip()")}, files{"a_test.go": replaced(t, goTests, "\tone()", "\tif x {\n\t}\n\tt.Skip()")}},
		"a skip that goes":      {files{"a_test.go": replaced(t, goTests, "\tone()", "\tt.Skip()")}, files{"a_test.go": goTests}},
		"a comment":             {files{"a_test.go": goTests}, files{"a_test.go": "/*\nLicense.\n*/\n\n" + goTests}},
		"a doc string":          {files{"test_a.py": pyTests}, files{"test_a.py": replaced(t, pyTests, "    def test_adds", "    \"\"\"\n    Sums.\n    \"\"\"\n    def test_adds")}},
		"no file of tests":      {files{"a.go": goTests, "main.py": pyTests, "Sum.java": "class Sum {}\n"}, nil},
		"data of tests":         {files{"testdata/x_test.go": goTests, "node_modules/a.test.js": jsTests}, nil},
		"rust, a new first one": {files{"src/lib.rs": rsTests}, files{"src/lib.rs": replaced(t, rsTests, "    #[test]\n", "    #[test]\n    fn zero() {\n    }\n\n    #[test]\n")}},
		"rust, code":            {files{"src/lib.rs": rsTests}, files{"src/lib.rs": replaced(t, rsTests, "fn add() {}", "fn sum() {}")}},
		"java, code":            {files{"Sum.java": "class Sum {\n  void add() {}\n}\n"}, files{"Sum.java": "class Sum {\n}\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			if v := judged(t, `{}`, changed(t, c.before, c.after)); v.Outcome != sdk.Pass {
				t.Errorf("%s %q: %s", v.Outcome, told(v), v.Message)
			}
		})
	}
}

// One deletion is worth one finding: what came back elsewhere once does not pay for two.
func TestEachTestIsCounted(t *testing.T) {
	twice := "describe('a', () => {\n  it('works', f)\n})\ndescribe('b', () => {\n  it('works', f)\n})\n"
	v := judged(t, `{}`, changed(t, files{"a.test.js": twice}, files{"a.test.js": "describe('a', () => {\n  it('works', f)\n})\n"}))
	if got := told(v); !slices.Equal(got, []string{"deleted-test a.test.js:3", "deleted-test a.test.js:3"}) {
		t.Errorf("%q", got)
	}
}

func TestANameOfATestIsShownHarmless(t *testing.T) {
	v := judged(t, `{}`, changed(t, files{"a.test.js": "it('x\u202ey" + strings.Repeat("z", 500) + "', f)\n"}, nil))
	if v.Outcome != sdk.Fail || strings.Contains(v.Message, "\u202e") || len(v.Message) > 300 {
		t.Errorf("%s %q", v.Outcome, v.Message)
	}
}
