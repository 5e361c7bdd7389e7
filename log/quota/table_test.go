package quota

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

// The page on limits has the table as it is, and the table has every limit.
func TestLimitsPage(t *testing.T) {
	var want strings.Builder
	want.WriteString("| limit | all | one network | a token's holder | kept for tokens | beyond it | in `quota.Limits` |\n|---|---|---|---|---|---|---|\n")
	named := map[string]bool{}
	for _, r := range DefaultLimits.Table() {
		fmt.Fprintf(&want, "| %s | %s | %s | %s | %s | %s | `%s` |\n", r.What, cmp.Or(r.All, "–"), cmp.Or(r.Source, "–"), cmp.Or(r.Holder, "–"), cmp.Or(r.Reserve, "–"), r.Beyond, r.Field)
		for _, name := range strings.FieldsFunc(r.Field, func(c rune) bool { return strings.ContainsRune(", :", c) }) {
			named[name] = true
		}
	}
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n\n"+want.String()+"\n") {
		t.Errorf("docs/limits.md does not have this table:\n%s", want.String())
	}
	var fields func(t reflect.Type, before string) []string
	fields = func(t reflect.Type, before string) (names []string) {
		for i := range t.NumField() {
			switch f := t.Field(i); f.Type {
			case reflect.TypeFor[Pool]():
				names = append(names, f.Name)
			case reflect.TypeFor[Quota]():
				// Each has a row of rates.
				names = append(names, f.Name, "Submissions", "Bytes", "Judging")
			default:
				if f.Type.Kind() == reflect.Struct {
					names = append(names, fields(f.Type, before+f.Name+".")...)
				} else {
					names = append(names, before+f.Name)
				}
			}
		}
		return names
	}
	limits := fields(reflect.TypeFor[Limits](), "")
	f, err := parser.ParseFile(token.NewFileSet(), "limits.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				limits = append(limits, s.(*ast.ValueSpec).Names[0].Name)
			}
		}
	}
	for _, name := range limits {
		if !named[name] && name != "MakingFor" { // it is beside those that are made
			t.Errorf("%s is in no row of the table", name)
		}
	}
	for _, name := range limits {
		delete(named, name)
	}
	for name := range named {
		if name != "GOMAXPROCS" && name != "log.MaxListRows" && name != "quota.Lane" {
			t.Errorf("the table names %s, which is not a limit", name)
		}
	}
}
