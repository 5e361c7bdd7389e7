package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// contextRooms are the packages, with those below them, in which a context is an argument
// and comes from the caller.
var contextRooms = []string{"proofs", "tuf", "leaf", "admit", "verify", "explain", "expect", "log", "witness", "audit", "publish"}

// keepsContext are the files that may keep a context in a struct, or begin one, and why.
var keepsContext = map[string]string{
	"proofs/tilereader.go":           "x/mod's reader of tiles is given no context; the struct lives for one call",
	"log/httpd/server.go":            "a server ends with the log that it serves, and with no request",
	"log/leader/log.go":              "Config.Right is no request's: it ends with the right to write",
	"log/postgres/lease.go":          "a lease is the right to write, and its context ends with it",
	"log/metrics/metrics.go":         "a prometheus.Collector is given no context",
	"audit/alert/metrics.go":         "a prometheus.Collector is given no context",
	"audit/rekor/v1.go":              "sigstore's verifiers ask for a context, and wait for nothing",
	"log/tesseralog/tesseralog.go":   "Close waits for an append, for a limited time",
	"log/trillianlog/trillianlog.go": "Close waits for an append, for a limited time",
	"witness/metrics.go":             "a prometheus.Collector is given no context",
	"witness/client/gather.go":       "requests to witnesses outlive the Gather that began them; all end with Close",
	"witness/sqlite/writer.go":       "one transaction has the updates of several requests, and none of them may end it",
	"witness/conformance/session.go": "a session is one run of the cases, with whose context each sends requests",
}

// A context is an argument: none is kept in a struct, where nobody sees which call it is
// of, and none begins below a request or a Run, where nothing could end it.
func TestContextsAreArguments(t *testing.T) {
	found := map[string]bool{}
	for _, room := range contextRooms {
		err := filepath.WalkDir("../../"+room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil || f.Name.Name == "main" {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			for _, what := range contextsOf(f) {
				found[name] = true
				if keepsContext[name] == "" {
					t.Errorf("%s %s", name, what)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(keepsContext)) {
		if !found[name] {
			t.Errorf("%s has no context of its own: it needs no exception", name)
		}
	}
}

// contextsOf says what a file does with contexts that it should not.
func contextsOf(f *ast.File) (found []string) {
	of := func(e ast.Expr, names ...string) bool {
		s, ok := e.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, s.Sel.Name) {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && x.Name == "context"
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if of(field.Type, "Context") {
					found = append(found, "keeps a context in a struct")
				}
			}
		case *ast.CallExpr:
			if of(n.Fun, "Background", "TODO") {
				found = append(found, "begins a context: it has to come from the caller, by context.WithoutCancel where it must not end with that")
			}
		}
		return true
	})
	return found
}

// The rule finds what it is for.
func TestContextRule(t *testing.T) {
	const source = `package p
type s struct { ctx context.Context }
func f() { g(context.Background()); h(context.TODO()) }
func ok(ctx context.Context) { g(context.WithoutCancel(ctx)) }`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := contextsOf(f); len(got) != 3 {
		t.Errorf("found %q", got)
	}
}
