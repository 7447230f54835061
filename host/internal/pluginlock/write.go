package pluginlock

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

const heading = `# Written by "drawspan plugin lock". Commit it: a plugin runs only while its bytes have these digests.
`

// Encode is the content of the file, the same for the same entries.
func (f *File) Encode() []byte {
	out := hclwrite.NewEmptyFile()
	entries := slices.Clone(f.Entries)
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range entries {
		out.Body().AppendNewline()
		encodeEntry(out.Body().AppendNewBlock("plugin", []string{e.Name}).Body(), e)
	}
	pins := slices.Clone(f.Programs)
	slices.SortFunc(pins, func(a, b Pin) int { return strings.Compare(a.Executor, b.Executor) })
	for _, p := range pins {
		out.Body().AppendNewline()
		encodeTexts(out.Body().AppendNewBlock("program", []string{p.Executor}).Body(), []string{"path", p.Path, "digest", p.Digest, "files", p.Files})
	}
	return append([]byte(heading), hclwrite.Format(out.Bytes())...)
}

func encodeEntry(body *hclwrite.Body, e Entry) {
	if e.Version != "" {
		body.SetAttributeValue("version", cty.StringVal(e.Version))
	}
	encodeList(body, "protocol", e.Protocol)
	body.SetAttributeValue("simulated", cty.BoolVal(e.Simulated))
	encodeList(body, "feeds", slices.Sorted(slices.Values(e.Nature.Feeds)))
	for _, flag := range []struct {
		name string
		set  bool
	}{{"pure", e.Nature.Pure}, {"resident", e.Nature.Resident}} {
		if flag.set {
			body.SetAttributeValue(flag.name, cty.True)
		}
	}
	hashes := map[string]cty.Value{}
	for platform, digest := range maps.All(e.Hashes) {
		hashes[platform] = cty.StringVal(digest)
	}
	body.SetAttributeValue("hashes", cty.ObjectVal(hashes))
	attributes := slices.Clone(e.Attributes)
	slices.SortFunc(attributes, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	for _, a := range attributes {
		inner := body.AppendNewBlock("attribute", []string{a.Name}).Body()
		inner.SetAttributeValue("type", cty.StringVal(a.Type))
		if a.Required {
			inner.SetAttributeValue("required", cty.True)
		}
	}
	for _, d := range e.Drives { // in the plugin's own order: the first that fits is the one
		inner := body.AppendNewBlock("drives", []string{d.Name}).Body()
		encodeTexts(inner, []string{"profile", d.Profile, "tested", d.Tested, "install", d.Install})
	}
}

// encodeList sets a list of texts, where there are any.
func encodeList(body *hclwrite.Body, name string, texts []string) {
	if len(texts) == 0 {
		return
	}
	var all []cty.Value
	for _, t := range texts {
		all = append(all, cty.StringVal(t))
	}
	body.SetAttributeValue(name, cty.TupleVal(all))
}

// encodeTexts sets names and values in turn, leaving out what is empty.
func encodeTexts(body *hclwrite.Body, pairs []string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			body.SetAttributeValue(pairs[i], cty.StringVal(pairs[i+1]))
		}
	}
}

// Write replaces the lock file: readers see the old content or the new, whatever happens meanwhile.
func Write(path string, f *File) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".drawspan.lock-*")
	if err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name()) //nolint:errcheck // the first error is told
		}
	}()
	_, err = tmp.Write(f.Encode())
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write lock file %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
