package config

import "slices"

// Codes of diagnostics. A code never changes its meaning; a new one gets a row in codeTexts.
const (
	codeSyntax        = "syntax"
	codeEncoding      = "encoding"
	codeTooLarge      = "too_large"
	codeTooMany       = "too_many_problems"
	codeUnreadable    = "unreadable_file"
	codeNoFiles       = "no_files"
	codeVersion       = "version_unsupported"
	codeNotYet        = "not_supported_yet"
	codeUnknownKey    = "unknown_attribute"
	codeUnknownBlock  = "unknown_block"
	codeMissingKey    = "missing_attribute"
	codeDuplicateKey  = "duplicate_attribute"
	codeDuplicate     = "duplicate_block"
	codeLabel         = "invalid_label"
	codeName          = "invalid_name"
	codeType          = "wrong_type"
	codeValue         = "invalid_value"
	codeExpression    = "invalid_expression"
	codeReference     = "unknown_reference"
	codeFunction      = "unknown_function"
	codeCycle         = "reference_cycle"
	codeVariable      = "variable_value"
	codeNotAbsolute   = "path_not_absolute"
	codePathMissing   = "path_missing"
	codeNotDirectory  = "not_a_directory"
	codeSymlink       = "path_is_symlink"
	codeOutside       = "outside_root"
	codeExposed       = "exposes_host"
	codeStateOverlap  = "state_dir_overlap"
	codeSharedRoot    = "shared_root"
	codeRepository    = "repository_overlap"
	codeNeedCycle     = "need_cycle"
	codeNeedsOptional = "needs_optional"
	codeUnenforced    = "unenforced_limit"
	codeNoEffect      = "no_effect"
	codeGateEmpty     = "empty_gate"
	codeUnsandboxed   = "unsandboxed"
	codeNotLoopback   = "not_loopback"
	codeCondition     = "invalid_condition"
	codeGlob          = "invalid_glob"
	codePlugin        = "unknown_plugin"
	codeToolchain     = "toolchain_missing" // reported by the policy compiler, as are the next ones
	codeHost          = "invalid_host"
	codeCommand       = "invalid_command"
)

var codeTexts = map[string]string{
	codeSyntax:        "The file is not HCL, or not JSON.",
	codeEncoding:      "The file is not UTF-8 text or contains NUL.",
	codeTooLarge:      "A file, a value or an expression is larger or deeper than drawspan reads.",
	codeTooMany:       "There are more problems than are listed.",
	codeUnreadable:    "A file cannot be read.",
	codeNoFiles:       "There is no configuration file.",
	codeVersion:       "The language version is missing or not one that this drawspan reads.",
	codeNotYet:        "The key or block is planned, but this version does not enforce it, so it is refused.",
	codeUnknownKey:    "No key of that name exists there.",
	codeUnknownBlock:  "No block of that name exists there.",
	codeMissingKey:    "A required key is not there.",
	codeDuplicateKey:  "A key or an environment variable is set twice.",
	codeDuplicate:     "A block, or a block of that name, is there twice.",
	codeLabel:         "A block has too few or too many labels.",
	codeName:          "A name is not of the form [a-z0-9][a-z0-9_-]{0,62}.",
	codeType:          "The value has another type than the key.",
	codeValue:         "The value is of the right type but not allowed.",
	codeExpression:    "An expression cannot be evaluated.",
	codeReference:     "A name is used that nothing declares.",
	codeFunction:      "The language has no function of that name.",
	codeCycle:         "Locals refer to each other in a circle.",
	codeVariable:      "A variable has no value, or one of another type than declared.",
	codeNotAbsolute:   "A path must be absolute or start with ~/.",
	codePathMissing:   "A path does not exist or cannot be looked at.",
	codeNotDirectory:  "A path must be a directory.",
	codeSymlink:       "A path leads through a symlink, so what it means could be changed outside the configuration.",
	codeOutside:       "A path leaves the directory that it must stay in.",
	codeExposed:       "A path would show a sandbox what it must never see.",
	codeStateOverlap:  "The state directory and a workspace or sandbox path contain one another.",
	codeRepository:    "A path that a sandbox may write to, or a secret, lies in a repository.",
	codeSharedRoot:    "Two workspaces have the same root.",
	codeNeedCycle:     "Gates need each other in a circle.",
	codeNeedsOptional: "A gate that is always evaluated needs one that is not.",
	codeUnenforced:    "A limit is declared that no gate judges.",
	codeNoEffect:      "A key has no effect where it stands.",
	codeGateEmpty:     "A gate has neither a validator nor a hold.",
	codeUnsandboxed:   "Level off must be accepted explicitly.",
	codeNotLoopback:   "The daemon listens on loopback addresses only.",
	codeCondition:     "A when expression does not work on facts, or depends on none.",
	codeToolchain:     "A toolchain preset finds nothing on this machine.",
	codeCommand:       "A command pattern of a permission could never match.",
	codeHost:          "An entry of an allow list is no host that a sandbox could be let reach.",
	codePlugin:        "A gate or an executor names a plugin that the lock file does not have.",
	codeGlob:          "A glob does not parse or can never match.",
}

// Codes lists every code of a Diagnostic, sorted.
func Codes() []string {
	out := make([]string, 0, len(codeTexts))
	for c := range codeTexts {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Explain says in one sentence what a code means; "" for a text that is no code.
func Explain(code string) string { return codeTexts[code] }
