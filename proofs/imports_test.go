package proofs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The package must stay small and pure: bytes in, verdict out.
func TestImports(t *testing.T) {
	notTest := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	files := parseDir(t, notTest)
	if len(files) < 5 {
		t.Fatalf("found only %d files", len(files))
	}
	for name, file := range files {
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !allowedImport(path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", name)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name == "Now" {
					t.Errorf("%s uses time.Now", name)
				}
			}
			return true
		})
	}
}

func parseDir(t *testing.T, keep func(fs.FileInfo) bool) map[string]*ast.File {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(e.Name(), ".go") || !keep(info) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = f
	}
	return files
}

func allowedImport(path string) bool {
	within := func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
	for _, root := range []string{"net", "os", "log", "syscall", "unsafe", "plugin", "runtime", "io/ioutil", "crypto/x509", "crypto/tls"} {
		if within(root) {
			return false
		}
	}
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") || within("github.com/tuflog/tuflog/proofs/internal") || within("golang.org/x/mod") || within("github.com/transparency-dev/merkle") || within("filippo.io/mldsa")
}

func TestAllowedImport(t *testing.T) {
	for path, want := range map[string]bool{
		"fmt":                         true,
		"crypto/ed25519":              true,
		"golang.org/x/mod/sumdb/tlog": true,
		"golang.org/x/modules":        false,
		"github.com/transparency-dev/merkle/proof":        true,
		"github.com/transparency-dev/formats/log":         false,
		"filippo.io/mldsa":                                true,
		"filippo.io/torchwood":                            false,
		"github.com/tuflog/tuflog/proofs/internal/strict": true,
		"github.com/tuflog/tuflog/proofs/fraud":           false,
		"net":                                             false,
		"net/url":                                         false,
		"os":                                              false,
		"os/exec":                                         false,
		"log/slog":                                        false,
		"logistic":                                        true,
	} {
		if got := allowedImport(path); got != want {
			t.Errorf("allowedImport(%q) = %v", path, got)
		}
	}
}
