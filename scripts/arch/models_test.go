package arch

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// modelClients are the modules that speak to models.
var modelClients = []string{
	"github.com/openai/...", "github.com/sashabaranov/...", "github.com/anthropics/...", "github.com/liushuangls/go-anthropic/...",
	"google.golang.org/genai/...", "github.com/google/generative-ai-go/...", "cloud.google.com/go/...", "github.com/tmc/langchaingo/...",
	"github.com/ollama/...", "github.com/cohere-ai/...", "github.com/mistralai/...", "github.com/aws/aws-sdk-go-v2/...",
	"github.com/Azure/azure-sdk-for-go/...", "github.com/cloudwego/eino/...", "github.com/firebase/genkit/...", "github.com/replicate/...",
}

// dialers may open connections, for the reason that stands behind each.
var dialers = map[string]string{
	"host/client":             "the daemon's own socket or loopback port",
	"host/internal/egress":    "hosts that the operator allowed",
	"host/internal/gateway":   "the upstream that the operator declared",
	"host/internal/httpapi":   "whether a daemon answers at the socket already",
	"host/internal/loader":    "the plugin's socket",
	"sdk/wire":                "the plugin's socket, in tests",
	"plugins/executor-script": "tries of the sandbox",
}

// dials are what opens a connection, by package.
var dials = map[string][]string{
	"net":       {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer"},
	"http":      {"Get", "Post", "PostForm", "Head", "DefaultClient", "DefaultTransport", "Client", "Transport"},
	"tls":       {"Dial", "DialWithDialer", "Dialer"},
	"grpc":      {"NewClient", "Dial", "DialContext"},
	"httputil":  {"ReverseProxy", "NewSingleHostReverseProxy"},
	"websocket": {"Dial", "Dialer", "DefaultDialer"},
	"smtp":      {"Dial", "SendMail"},
	"rpc":       {"Dial", "DialHTTP"},
}

// shipped tells of rooms that are part of what is installed; the others measure and try it.
func shipped(dir string) bool {
	for _, other := range []string{"host/bench", "host/escape", "host/e2e", "sdk/sdktest", "plugins/real", "scripts", "examples"} {
		if dir == other || strings.HasPrefix(dir, other+"/") {
			return false
		}
	}
	return true
}

func TestS1_NoProgramCanAskAModel(t *testing.T) {
	tr := parsed(t)
	for _, dir := range tr.dirs() {
		if !shipped(dir) {
			continue
		}
		refuse(t, unreachable(tr, dir, modelClients...))
		if _, may := dialers[dir]; may {
			continue
		}
		for _, s := range tr.rooms[dir].sources {
			if s.test || s.generated {
				continue
			}
			for _, at := range dialing(s.ast) {
				t.Errorf("%s: only %v may open connections", tr.at(at.Pos()), sortedDialers())
			}
		}
	}
	for dir := range dialers {
		if tr.rooms[dir] == nil {
			t.Errorf("%s may open connections, and does not exist", dir)
		}
	}
}

func sortedDialers() []string {
	var all []string
	for dir := range dialers {
		all = append(all, dir)
	}
	slices.Sort(all)
	return all
}

// dialing finds what opens a connection in a file.
func dialing(f *ast.File) []ast.Node {
	var found []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Obj == nil && slices.Contains(dials[pkg.Name], sel.Sel.Name) {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}
