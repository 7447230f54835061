package main

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// said is one licence that a text names, and where.
type said struct {
	id   string
	line int
}

const (
	// unknown stands for a text that reads as no licence that is known.
	unknown = "LicenseRef-unknown"
	// maxHead is how much of a file its head is.
	maxHead = 8 << 10
)

var (
	// licenceFile are the names under which people look for the licence of a directory.
	licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]es?|copying|copyright|(mit|bsd|apache|gpl|lgpl|agpl|mpl)[-_.]?licen[cs]e)([-_.].*)?$`)
	// tag is the short form of a licence in the head of a file.
	tag = regexp.MustCompile(`SPDX-License-Identifier:[ \t]*([^\r\n]{1,256})`)
	// field is the license field of package.json, Cargo.toml and pyproject.toml.
	field = regexp.MustCompile(`(?m)^[ \t{,]*"?license"?[ \t]*[:=][ \t]*(?:\{[ \t]*"?(?:text|type)"?[ \t]*[:=][ \t]*)?"([^"\r\n]{1,256})"`)
	// holder is a line that says who holds the copyright, and grant is what no such line says.
	holder = regexp.MustCompile(`(?i)^[ \t*#>-]*(copyright|©|\(c\))[^\n]{0,120}$`)
	grant  = regexp.MustCompile(`(?i)may|grant|permi|licen[cs]|notice|free|shall|must`)
	// legal tells a head that may say a licence.
	legal = regexp.MustCompile(`(?i)licen[cs]e|copyright|redistribut|public domain|warranty`)
)

// source are the endings of files that hold code rather than the licence itself: license.go is no licence.
var source = []string{".go", ".js", ".ts", ".py", ".rs", ".c", ".h", ".java", ".rb", ".sh", ".json", ".yml", ".yaml", ".toml", ".html", ".css", ".lock"}

func isLicenceFile(name string) bool {
	base := path.Base(name)
	return (licenceFile.MatchString(base) || path.Base(path.Dir(name)) == "LICENSES") && !slices.Contains(source, strings.ToLower(path.Ext(base)))
}

func isManifest(name string) bool {
	return slices.Contains([]string{"package.json", "Cargo.toml", "pyproject.toml"}, path.Base(name))
}

// known is the classifier over all licences that it knows. It takes a while to make, and most changes need none.
var known = sync.OnceValues(func() (*classifier.Classifier, error) { return assets.DefaultClassifier() })

// classified are the licences whose text or notice stands in a text.
func classified(text []byte) ([]said, error) {
	c, err := known()
	if err != nil {
		return nil, err
	}
	var all []said
	for _, m := range c.Match(text).Matches {
		if m.MatchType == "License" || m.MatchType == "Header" {
			all = append(all, said{m.Name, m.StartLine})
		}
	}
	return unique(all), nil
}

// tagged are the licences that the short forms in a text name.
func tagged(text []byte, form *regexp.Regexp) []said {
	var all []said
	for _, m := range form.FindAllSubmatchIndex(text, -1) {
		line := 1 + bytes.Count(text[:m[2]], []byte("\n"))
		for _, id := range expression(string(text[m[2]:m[3]])) {
			all = append(all, said{id, line})
		}
	}
	return unique(all)
}

// expression are the licences that an SPDX expression names.
func expression(text string) []string {
	for _, end := range []string{"*/", "-->", "#}"} {
		text, _, _ = strings.Cut(text, end)
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t()\"'/,", r) })
	var ids []string
	for i, w := range words {
		exception := i > 0 && strings.EqualFold(words[i-1], "WITH")
		if !exception && !slices.Contains([]string{"AND", "OR", "WITH"}, strings.ToUpper(w)) {
			ids = append(ids, w)
		}
	}
	return ids
}

// unique keeps the first place of every licence.
func unique(all []said) []said {
	slices.SortStableFunc(all, func(a, b said) int { return a.line - b.line })
	var kept []said
	for _, s := range all {
		if !slices.ContainsFunc(kept, func(k said) bool { return k.id == s.id }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// headOf is what the head of a file says.
func headOf(text []byte) ([]said, error) {
	if short := tagged(text, tag); len(short) > 0 {
		return short, nil
	}
	if !legal.Match(text) {
		return nil, nil
	}
	return classified(text)
}

// fileOf is what a licence file says.
func fileOf(text []byte) ([]said, error) {
	all, err := classified(text)
	if err != nil || len(all) > 0 {
		return all, err
	}
	if short := tagged(text, tag); len(short) > 0 {
		return short, nil
	}
	return []said{{unknown, 1}}, nil
}

// words are the lines of a licence that matter: without those that name who holds the copyright, and with no regard
// to how they are broken. Each word knows its line.
func words(text []byte) (all []string, lines []int) {
	for i, line := range strings.Split(string(text), "\n") {
		if holder.MatchString(line) && !grant.MatchString(line) {
			continue
		}
		for _, w := range strings.Fields(line) {
			all = append(all, w)
			lines = append(lines, i+1)
		}
	}
	return all, lines
}
