package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// kind is what a package is for; tests are the test files of all packages.
type kind int

const (
	product kind = iota
	bench
	suite
	tests
)

func (k kind) String() string { return [...]string{"product", "bench", "suites", "tests"}[k] }

// What is not the product, by folder. Some stood elsewhere before bench/ was made:
// they are listed so that earlier trees are counted by the same rule.
var kinds = map[kind][]string{
	bench: {
		"bench", "cmd/demo",
		"cmd/logload", "log/faults", "log/failover", "log/internal/rehearsal", "log/tesseralog/baretessera",
		"witness/loadtest", "proofs/oracles", "internal/vectorgen", "internal/postgresserver", "internal/trillianserver",
		"internal/process", "internal/runtest", "internal/testvendor", "internal/testlog", "internal/realdata",
	},
	suite: {"log/statetest", "log/storagetest", "log/logtest", "audit/audittest", "witness/witnesstest", "witness/conformance"},
}

func kindOf(folder string) kind {
	for k, folders := range kinds {
		for _, f := range folders {
			if folder == f || strings.HasPrefix(folder, f+"/") {
				return k
			}
		}
	}
	return product
}

// tree is all packages below a folder, by the names of their folders.
type tree struct{ packages []*pkg }

type pkg struct {
	folder    string // with slashes, "." for the topmost
	name      string // empty if there are only tests
	kind      kind
	lines     int // without tests
	testLines int
	exported  int
	docLines  int
	functions []function // without those of tests
}

type function struct {
	name  string // (*T).F for a method
	file  string
	lines int
}

// importable reports whether programs of others may import the package.
func (p *pkg) importable() bool {
	return p.kind == product && p.name != "main" && p.name != "" && !slices.Contains(strings.Split(p.folder, "/"), "internal")
}

// read reads the Go files below root, except those that the go command would not
// look at.
func read(root string) (*tree, error) {
	byFolder := map[string]*pkg{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != root && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		folder := path.Dir(name)
		p := byFolder[folder]
		if p == nil {
			p = &pkg{folder: folder, kind: kindOf(folder)}
			byFolder[folder] = p
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return p.add(name, source)
	})
	if err != nil {
		return nil, err
	}
	t := &tree{}
	for _, p := range byFolder {
		t.packages = append(t.packages, p)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return cmp.Compare(a.folder, b.folder) })
	return t, nil
}

// add counts a file of the package.
func (p *pkg) add(name string, source []byte) error {
	lines := bytes.Count(source, []byte("\n"))
	if strings.HasSuffix(name, "_test.go") {
		p.testLines += lines
		return nil
	}
	p.lines += lines
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p.name = f.Name.Name
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.GenDecl:
			p.exported += exportedOf(d)
		case *ast.FuncDecl:
			receiver, spelled := receiverOf(d)
			if d.Name.IsExported() && (receiver == "" || ast.IsExported(receiver)) {
				p.exported++
			}
			length := files.Position(d.End()).Line - files.Position(d.Pos()).Line + 1
			p.functions = append(p.functions, function{spelled + d.Name.Name, name, length})
		}
	}
	return nil
}

// exportedOf counts the exported types, constants and variables of a declaration.
func exportedOf(d *ast.GenDecl) (n int) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				n++
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() {
					n++
				}
			}
		}
	}
	return n
}

// receiverOf returns a method's type, and how it stands before the method's name;
// both are empty for a function.
func receiverOf(d *ast.FuncDecl) (name, spelled string) {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return "", ""
	}
	t, star := d.Recv.List[0].Type, false
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t, star = x.X, true
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			if star {
				return x.Name, "(*" + x.Name + ")."
			}
			return x.Name, x.Name + "."
		default:
			return "", ""
		}
	}
}

func (t *tree) lines(k kind) (n int) {
	for _, p := range t.packages {
		switch k {
		case tests:
			n += p.testLines
		case p.kind:
			n += p.lines
		}
	}
	return n
}

// count counts the packages that have lines of the kind.
func (t *tree) count(k kind) (n int) {
	for _, p := range t.packages {
		if k == tests && p.testLines > 0 || k == p.kind && p.lines > 0 {
			n++
		}
	}
	return n
}

// functions returns the functions of the packages of a kind, the longest first.
func (t *tree) functions(k kind) []function {
	var all []function
	for _, p := range t.packages {
		if p.kind == k {
			all = append(all, p.functions...)
		}
	}
	slices.SortFunc(all, func(a, b function) int {
		return cmp.Or(cmp.Compare(b.lines, a.lines), cmp.Compare(a.file, b.file), cmp.Compare(a.name, b.name))
	})
	return all
}

func average(sorted []function) float64 {
	if len(sorted) == 0 {
		return 0
	}
	sum := 0
	for _, f := range sorted {
		sum += f.lines
	}
	return float64(sum) / float64(len(sorted))
}

// median returns the shorter one of the two in the middle where their number is even.
func median(sorted []function) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2].lines
}

// docLines counts what go doc -short prints of the package in a folder.
func docLines(folder string) (int, error) {
	cmd := exec.Command("go", "doc", "-short")
	cmd.Dir = folder
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("go doc -short in %s: %w: %s", folder, err, strings.TrimSpace(stderr.String()))
	}
	return bytes.Count(out, []byte("\n")), nil
}
