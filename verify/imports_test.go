package verify

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestImports keeps the package to what a small device can carry: bytes in,
// verdict out.
func TestImports(t *testing.T) {
	forbidden := map[string]string{
		"net": "does input and output", "os": "does input and output", "log": "does input and output",
		"io/fs": "does input and output", "syscall": "does input and output",
		"crypto/x509": "links the network", "crypto/tls": "links the network",
		"math/rand": "leaves a verdict to chance", "unsafe": "hides what is done",
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(path, "/")
			switch why, bad := forbidden[path]; {
			case bad:
				t.Errorf("%s imports %s, which %s", e.Name(), path, why)
			case first == "net" || first == "log":
				t.Errorf("%s imports %s, which does input and output", e.Name(), path)
			case strings.Contains(first, ".") && path != "github.com/tuflog/tuflog/proofs" && path != "filippo.io/mldsa":
				t.Errorf("%s imports %s: want the standard library, proofs and mldsa only", e.Name(), path)
			}
		}
	}
}
