package modelserver

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// form is one tool that can perform an intent, and the arguments that it takes.
type form struct {
	tool string
	args func(tool, Step, place) any // a string for a custom tool
}

// place makes paths as a tool wants them.
type place string

// abs is the path as it stands for tools that want it absolute.
func (p place) abs(name string) string {
	if path.IsAbs(name) || p == "" {
		return name
	}
	return strings.TrimSuffix(string(p), "/") + "/" + name // not cleaned: ".." is sent as the script has it
}

// pick is the first of the names that the tool declares, or the first where it declares none of them.
func (t tool) pick(list ...string) string {
	for _, name := range list {
		if slices.Contains(t.props, name) {
			return name
		}
	}
	return list[0]
}

// fill adds what the tool declares beside the intent's own arguments.
func (t tool) fill(args object) object {
	for name, value := range map[string]any{"description": "scripted", "is_background": false, "instruction": "scripted",
		"intent": "scripted", "title": "scripted"} {
		if _, set := args[name]; !set && slices.Contains(t.props, name) {
			args[name] = value
		}
	}
	return args
}

// pathKeys are the names that tools have for the path of a file.
var pathKeys = []string{"file_path", "filePath", "path", "absolute_path"}

func (f File) text() string { return strings.Repeat(f.Content, max(1, f.Times)) }

func writeFile(t tool, s Step, p place) any {
	content := t.pick("content", "file_text", "new_text", "contents")
	return object{t.pick(pathKeys...): p.abs(s.Write.Path), content: s.Write.text()}
}

func editFile(t tool, s Step, p place) any {
	from, to := t.pick("old_string", "oldString", "old_str", "oldText", "old_text"), t.pick("new_string", "newString", "new_str", "newText", "new_text")
	args := object{t.pick(pathKeys...): p.abs(s.Edit.Path)}
	change := object{from: s.Edit.Old, to: s.Edit.New}
	if slices.Contains(t.props, "edits") {
		args["edits"] = []object{{"oldText": s.Edit.Old, "newText": s.Edit.New}}
		return args
	}
	for k, v := range change {
		args[k] = v
	}
	return args
}

func readFile(t tool, s Step, p place) any { return object{t.pick(pathKeys...): p.abs(s.Read)} }

func readFiles(_ tool, s Step, p place) any {
	return object{"files": []object{{"path": p.abs(s.Read)}}}
}

// line runs the command that performs the intent in a shell.
func line(t tool, s Step, _ place) any { return object{t.pick("command", "cmd"): s.command()} }

func vector(_ tool, s Step, _ place) any {
	return object{"command": []string{"bash", "-lc", s.command()}}
}

func vectorOfLines(_ tool, s Step, _ place) any { return object{"commands": []string{s.command()}} }

// command is what a shell has to run where no other tool performs the intent.
func (s Step) command() string {
	switch {
	case s.Write != nil:
		return fmt.Sprintf("mkdir -p %s && printf %%s %s > %s", quote(path.Dir(s.Write.Path)), quote(s.Write.text()), quote(s.Write.Path))
	case s.Read != "":
		return "cat " + quote(s.Read)
	}
	return s.Shell
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// patch is the text that a freeform apply_patch takes.
func patch(_ tool, s Step, _ place) any {
	var b strings.Builder
	b.WriteString("*** Begin Patch\n")
	switch {
	case s.Patch != "":
		return s.Patch
	case s.Write != nil:
		b.WriteString("*** Add File: " + s.Write.Path + "\n")
		prefixed(&b, "+", s.Write.text())
	default:
		b.WriteString("*** Update File: " + s.Edit.Path + "\n@@\n")
		prefixed(&b, "-", s.Edit.Old)
		prefixed(&b, "+", s.Edit.New)
	}
	b.WriteString("*** End Patch\n")
	return b.String()
}

func prefixed(b *strings.Builder, prefix, text string) {
	for l := range strings.Lines(text) {
		b.WriteString(prefix + strings.TrimSuffix(l, "\n") + "\n")
	}
}

func patchInput(t tool, s Step, p place) any {
	return object{t.pick("input", "patch", "patchText"): patch(t, s, p)}
}

func ask(t tool, s Step, _ place) any {
	var options []object
	for _, o := range s.Ask.Options {
		options = append(options, object{"label": o, "description": o})
	}
	if slices.Contains(t.props, "question") {
		return object{"question": s.Ask.Question, t.pick("choices", "options"): s.Ask.Options}
	}
	return object{"questions": []object{{"id": "q", "question": s.Ask.Question, "header": "Question", "type": "choice",
		"options": options, "multiSelect": false}}}
}

// shells run a command line.
var shells = []form{{"exec_command", line}, {"shell_command", line}, {"shell", vector}, {"Bash", line},
	{"run_shell_command", line}, {"bash", line}, {"run_commands", vectorOfLines}}

// forms lists who can perform an intent, the most natural first.
func (s Step) forms() []form {
	switch {
	case s.Write != nil:
		return append([]form{{"Write", writeFile}, {"write_file", writeFile}, {"write", writeFile}, {"create", writeFile},
			{"editor", writeFile}, {"apply_patch", patch}}, shells...)
	case s.Edit != nil:
		return []form{{"Edit", editFile}, {"replace", editFile}, {"edit", editFile}, {"editor", editFile}, {"apply_patch", patch}}
	case s.Patch != "":
		return []form{{"apply_patch", patch}}
	case s.Read != "":
		return append([]form{{"Read", readFile}, {"read_file", readFile}, {"read", readFile}, {"view", readFile}, {"read_files", readFiles}}, shells...)
	case s.Ask != nil:
		return []form{{"AskUserQuestion", ask}, {"ask_user_question", ask}, {"request_user_input", ask}, {"ask_user", ask},
			{"question", ask}, {"ask_question", ask}}
	}
	return shells
}

// speak finds the tool for an intent among those of a request; ok is false where none performs it.
func (s Step) speak(tools []tool, p place) (c call, ok bool) {
	if s.Call != nil {
		i := slices.IndexFunc(tools, func(t tool) bool { return t.name == s.Call.Name })
		return call{name: s.Call.Name, args: s.Call.Arguments, custom: i >= 0 && tools[i].custom}, true
	}
	for _, f := range s.forms() {
		i := slices.IndexFunc(tools, func(t tool) bool { return t.name == f.tool })
		if i < 0 {
			continue
		}
		t, args := tools[i], f.args(tools[i], s, p)
		switch text, isText := args.(string); {
		case isText && t.custom:
			return call{name: t.name, custom: true, args: text}, true
		case isText:
			args = patchInput(t, s, p)
		}
		if o, isObject := args.(object); isObject {
			args = t.fill(o)
		}
		return call{name: t.name, args: string(encode(args))}, true
	}
	return call{}, false
}

// workdir finds where a request says that the agent works.
var workdir = regexp.MustCompile(`(?i)(?:working directory|working in the directory|cwd|workspace (?:root|directory))(?: is)?[\s:=>"'\\` + "`" + `]{0,8}(/[^\s"'\\<>` + "`" + `,;]+)`)

func placeIn(body []byte) place {
	m := workdir.FindSubmatch(body)
	if m == nil {
		return ""
	}
	return place(strings.TrimRight(string(m[1]), ".)"))
}
