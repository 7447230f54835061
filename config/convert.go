package config

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

const (
	maxText = 64 << 10 // bytes of one string value
	hidden  = "(sensitive)"
)

// read turns a value into what the key's field holds, or says why not. Nothing is converted silently:
// a number in quotes is a string.
func (k *key) read(v cty.Value) (any, problem) {
	marked := v.ContainsMarked()
	v, _ = v.UnmarkDeep()
	if v.IsNull() {
		return nil, problem{code: codeType, summary: "must not be null", hint: "leave the key out for its default"}
	}
	switch k.kind {
	case text, path, ident:
		return k.readText(v, marked)
	case number:
		return k.readNumber(v, marked)
	case boolean:
		if v.Type() != cty.Bool {
			return nil, k.mistyped("true or false, without quotes", v)
		}
		return v.True(), problem{}
	case duration:
		return k.readDuration(v, marked)
	case size:
		return k.readSize(v, marked)
	case texts, idents, argv:
		return k.readList(v, marked)
	case table:
		return k.readTable(v, marked)
	}
	return nil, problem{code: codeType, summary: "cannot be read as " + string(k.kind)}
}

func (k *key) mistyped(want string, v cty.Value) problem {
	return problem{code: codeType, summary: fmt.Sprintf("must be %s, not %s", want, v.Type().FriendlyName()), hint: "for example: " + k.name + " = " + k.sample()}
}

func (k *key) readText(v cty.Value, marked bool) (any, problem) {
	if v.IsNull() || v.Type() != cty.String {
		return nil, k.mistyped("a string", v)
	}
	s := v.AsString()
	switch {
	case len(s) > maxText:
		return nil, problem{code: codeTooLarge, summary: fmt.Sprintf("is longer than %d bytes", maxText)}
	case strings.ContainsRune(s, 0), k.kind == path && clean(s) != s:
		return nil, problem{code: codeValue, summary: "contains a control character"}
	case k.kind == ident && !namePattern.MatchString(s):
		return nil, problem{code: codeName, summary: fmt.Sprintf("holds %s, which is not a name", show(s, marked)),
			hint: "names are lower case letters, digits, - and _, at most 63"}
	case len(k.enum) > 0 && !slices.Contains(k.enum, s):
		p := problem{code: codeValue, summary: fmt.Sprintf("must not be %s", show(s, marked)), hint: "one of: " + strings.Join(k.enum, ", ")}
		if n := nearest(s, k.enum); n != "" {
			p.hint = fmt.Sprintf("did you mean %q? One of: %s", n, strings.Join(k.enum, ", "))
		}
		return nil, p
	case s == "" && k.required:
		return nil, problem{code: codeValue, summary: "must not be empty"}
	}
	return s, problem{}
}

func (k *key) readNumber(v cty.Value, marked bool) (any, problem) {
	if v.Type() != cty.Number {
		return nil, k.mistyped("a number, without quotes", v)
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact {
		return nil, problem{code: codeValue, summary: "must be a whole number"}
	}
	return n, k.bound(n, show(strconv.FormatInt(n, 10), marked))
}

var (
	durationPattern = regexp.MustCompile(`^(?:(\d{1,6})d)?((?:\d{1,9}(?:h|ms|m|s))*)$`)
	sizePattern     = regexp.MustCompile(`^(\d{1,12})(B|KiB|MiB|GiB|TiB)$`)
)

func (k *key) readDuration(v cty.Value, marked bool) (any, problem) {
	if v.Type() != cty.String {
		return nil, k.mistyped("a duration in quotes", v)
	}
	s := v.AsString()
	m := durationPattern.FindStringSubmatch(s)
	if m == nil || s == "" {
		return nil, problem{code: codeValue, summary: fmt.Sprintf("holds %s, which is not a duration", show(s, marked)),
			hint: `whole numbers with d, h, m, s or ms, such as "90s", "1h30m" or "30d"`}
	}
	var total time.Duration
	if m[1] != "" {
		days, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, problem{code: codeValue, summary: "is not a duration"}
		}
		total = time.Duration(days) * 24 * time.Hour
	}
	if m[2] != "" {
		rest, err := time.ParseDuration(m[2])
		if err != nil || rest > time.Duration(1<<62) {
			return nil, problem{code: codeValue, summary: "is longer than drawspan can count"}
		}
		total += rest
	}
	if total < 0 || total > 40000*24*time.Hour {
		return nil, problem{code: codeValue, summary: "is longer than drawspan can count"}
	}
	return total, k.bound(int64(total), show(s, marked))
}

func (k *key) readSize(v cty.Value, marked bool) (any, problem) {
	if v.Type() != cty.String {
		return nil, k.mistyped("a size in quotes", v)
	}
	s := v.AsString()
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return nil, problem{code: codeValue, summary: fmt.Sprintf("holds %s, which is not a size", show(s, marked)),
			hint: `a whole number with B, KiB, MiB, GiB or TiB, such as "512MiB"`}
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]int64{"B": 1, "KiB": kib, "MiB": mib, "GiB": gib, "TiB": 1024 * gib}[m[2]]
	if err != nil || n > (1<<62)/unit {
		return nil, problem{code: codeValue, summary: "is larger than drawspan can count"}
	}
	return n * unit, k.bound(n*unit, show(s, marked))
}

// format writes a number of the key's kind as an operator would.
func (k *key) format(n int64) string {
	switch k.kind {
	case duration:
		return durationText(time.Duration(n))
	case size:
		return sizeText(n)
	}
	return strconv.FormatInt(n, 10)
}

func (k *key) bound(n int64, value string) problem {
	if (k.min != 0 || k.max != 0) && (n < k.min || n > k.max) {
		hint := fmt.Sprintf("from %s to %s", k.format(k.min), k.format(k.max))
		if k.kind == duration && k.min == 1 {
			hint = "more than 0, at most " + k.format(k.max)
		}
		return problem{code: codeValue, summary: "must not be " + value, hint: hint}
	}
	return problem{}
}

func (k *key) readList(v cty.Value, marked bool) (any, problem) {
	if !v.Type().IsTupleType() && !v.Type().IsListType() && !v.Type().IsSetType() {
		return nil, k.mistyped("a list of strings", v)
	}
	one := key{name: k.name, kind: text}
	if k.kind == idents {
		one.kind = ident
	}
	out := []string{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		got, p := one.readText(e, marked)
		if p.code != "" {
			p.summary, p.element = "has an element that "+p.summary, len(out)+1
			return nil, p
		}
		s, _ := got.(string) // readText gives a string
		if k.kind != argv && slices.Contains(out, s) {
			return nil, problem{code: codeValue, summary: fmt.Sprintf("names %s twice", show(s, marked)), hint: "keep one", element: len(out) + 1}
		}
		if out = append(out, s); k.max > 0 && int64(len(out)) > k.max {
			return nil, problem{code: codeTooLarge, summary: fmt.Sprintf("has more than %d elements", k.max), element: len(out)}
		}
	}
	if k.required && len(out) == 0 {
		return nil, problem{code: codeValue, summary: "must not be empty", hint: "for example: " + k.name + " = " + k.sample()}
	}
	return out, problem{}
}

func (k *key) readTable(v cty.Value, marked bool) (any, problem) {
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		return nil, k.mistyped("a map of strings", v)
	}
	one := key{name: k.name, kind: text}
	out := map[string]string{}
	for it := v.ElementIterator(); it.Next(); {
		name, e := it.Element()
		got, p := one.readText(e, marked)
		if p.code != "" {
			p.summary = fmt.Sprintf("has %s, which %s", quoted(name.AsString()), p.summary)
			return nil, p
		}
		out[name.AsString()], _ = got.(string) // readText gives a string
	}
	return out, problem{}
}

func show(s string, marked bool) string {
	if marked {
		return "the sensitive value"
	}
	return quoted(s)
}

// quoted is a string for a message, cut where it is long.
func quoted(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "..."
	}
	return strconv.Quote(s)
}

// sample is a value that the key would accept, for hints.
func (k *key) sample() string {
	switch {
	case k.def != "" && k.def != "[]" && k.def != "{}":
		return k.def
	case len(k.enum) > 0:
		return strconv.Quote(k.enum[0])
	}
	switch k.kind {
	case number:
		return strconv.FormatInt(max(k.min, 1), 10)
	case boolean:
		return "true"
	case duration:
		return `"10m"`
	case size:
		return `"64MiB"`
	case texts, idents, argv:
		return `["..."]`
	case table:
		return `{ NAME = "value" }`
	case path:
		return `"~/src/project"`
	}
	return `"..."`
}

// shown turns a known value into what encoding/json writes; with mask, sensitive parts become a word.
func shown(v cty.Value, mask bool) any {
	if v.IsMarked() {
		if mask {
			return hidden
		}
		v, _ = v.Unmark()
	}
	if v.IsNull() || !v.IsKnown() {
		return nil
	}
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		return numeral(v.AsBigFloat())
	case t.IsObjectType(), t.IsMapType():
		out := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			name, e := it.Element()
			out[name.AsString()] = shown(e, mask)
		}
		return out
	case v.CanIterateElements():
		out := []any{}
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			out = append(out, shown(e, mask))
		}
		return out
	}
	return nil
}

func numeral(f *big.Float) any {
	if f.IsInt() {
		return json.Number(f.Text('f', 0))
	}
	return json.Number(f.Text('g', -1))
}

// durationText writes a duration as an operator would.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d == 0:
		return "0s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeText writes a number of bytes as an operator would.
func sizeText(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1024 * gib}, {"GiB", gib}, {"MiB", mib}, {"KiB", kib}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
