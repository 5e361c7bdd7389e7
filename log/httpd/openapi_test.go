package httpd

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log/api"
)

// openAPI is as much of docs/openapi.json as is held against the code.
type openAPI struct {
	OpenAPI    string
	Info       struct{ Title, Version, Description string }
	Paths      map[string]map[string]operation
	Anywhere   map[string][]string `json:"x-problems-anywhere"`
	Components struct {
		SecuritySchemes map[string]any
		Schemas         map[string]schema
	}
}

type operation struct {
	OperationID string
	Summary     string
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                map[string]any
		Example               any
	}
	Security    any
	RequestBody *struct {
		Required bool
		Content  map[string]any
	}
	Responses map[string]struct {
		Description string
		Content     map[string]any
		Headers     map[string]any
		Codes       []string `json:"x-codes"`
	}
}

type schema struct {
	Type        string
	Description string
	Properties  map[string]map[string]any
	Required    []string
}

func readOpenAPI(t *testing.T) (doc openAPI, text []byte) {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("docs/openapi.json: %v", err)
	}
	return doc, text
}

// answers maps what a handler may answer with to the codes of the problem; to
// none, where that is not a problem.
type answers map[string][]string

func (a answers) add(status int, codes ...string) {
	key := strconv.Itoa(status)
	for _, c := range append(a[key], codes...) {
		if !slices.Contains(a[key], c) {
			a[key] = append(a[key], c)
		}
	}
	if _, ok := a[key]; !ok {
		a[key] = nil
	}
	slices.Sort(a[key])
}

// code is what answers requests, parsed.
type code struct {
	t     *testing.T
	funcs map[string][]*ast.FuncDecl
	codes map[string]string // of package api: the constants' values
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readCode(t *testing.T) *code {
	t.Helper()
	c := &code{t: t, funcs: map[string][]*ast.FuncDecl{}, codes: constants(t, "../api/codes.go", "Code")}
	for _, path := range []string{"routes.go", "server.go", "submit.go", "static.go", "pack.go", "lookup.go", "problem.go", "body.go", "content.go", "token.go", "hold.go", "audited.go", "page.go"} {
		for _, d := range parse(t, path).Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				c.funcs[f.Name.Name] = append(c.funcs[f.Name.Name], f)
			}
		}
	}
	return c
}

// constants returns the string constants of a file whose names have a prefix.
// Those that are constants of package admit are looked up there.
func constants(t *testing.T, path, prefix string) map[string]string {
	t.Helper()
	values := map[string]string{}
	ast.Inspect(parse(t, path), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		switch v := spec.Values[0].(type) {
		case *ast.BasicLit:
			if s, err := strconv.Unquote(v.Value); err == nil {
				values[spec.Names[0].Name] = s
			}
		case *ast.SelectorExpr:
			values[spec.Names[0].Name] = constants(t, "../../admit/codes.go", "Refused")[v.Sel.Name]
		}
		return true
	})
	return values
}

// status returns the number of http.StatusXxx.
func (c *code) status(e ast.Expr) int {
	name := e.(*ast.SelectorExpr).Sel.Name
	for n := 100; n < 600; n++ {
		text := strings.NewReplacer(" ", "", "-", "", "'", "").Replace(http.StatusText(n))
		if text != "" && name == "Status"+text {
			return n
		}
	}
	c.t.Fatalf("which status is http.%s?", name)
	return 0
}

func (c *code) codeOf(e ast.Expr) string {
	value, ok := c.codes[e.(*ast.SelectorExpr).Sel.Name]
	if !ok {
		c.t.Fatalf("package api has no constant %s", e.(*ast.SelectorExpr).Sel.Name)
	}
	return value
}

// collect adds what a function, and those that it calls, may answer with.
func (c *code) collect(name string, into answers, seen map[string]bool) {
	if seen[name] {
		return
	}
	seen[name] = true
	for _, f := range c.funcs[name] {
		ast.Inspect(f.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			called := ""
			switch fn := call.Fun.(type) {
			case *ast.Ident:
				called = fn.Name
			case *ast.SelectorExpr:
				called = fn.Sel.Name
			}
			switch called {
			case "problemf":
				into.add(c.status(call.Args[0]), c.codeOf(call.Args[1]))
			case "later":
				into.add(http.StatusServiceUnavailable, c.codeOf(call.Args[0]))
			case "send":
				into.add(http.StatusOK)
				into.add(http.StatusNotModified)
			case "answerJSON":
				into.add(http.StatusServiceUnavailable, c.codeOf(&ast.SelectorExpr{Sel: ast.NewIdent("CodeBusy")})) // a large one
				c.collect(called, into, seen)
			case "writeText":
				into.add(http.StatusOK)
			case "writeJSON":
				into.add(c.status(call.Args[2]))
			default:
				c.collect(called, into, seen)
			}
			return true
		})
	}
}

// handlers maps "METHOD /pattern" to the name of its handler, from the table of
// routes.
func (c *code) handlers() map[string]string {
	names := map[string]string{}
	ast.Inspect(parse(c.t, "routes.go"), func(n ast.Node) bool {
		row, ok := n.(*ast.CompositeLit)
		if !ok || row.Type != nil || len(row.Elts) != 2 {
			return true
		}
		pattern, err := strconv.Unquote(row.Elts[0].(*ast.BasicLit).Value)
		if err != nil {
			c.t.Fatal(err)
		}
		rt := route{pattern: pattern}
		method, _, name := rt.split()
		names[method+" "+name] = row.Elts[1].(*ast.SelectorExpr).Sel.Name
		return true
	})
	return names
}

// Every resource, method, status and code of the handlers is in the OpenAPI file,
// and the other way round.
func TestOpenAPIIsWhatTheHandlersDo(t *testing.T) {
	doc, _ := readOpenAPI(t)
	c := readCode(t)
	documented := map[string]operation{}
	for path, item := range doc.Paths {
		for method, op := range item {
			documented[strings.ToUpper(method)+" "+path] = op
		}
	}
	handlers := c.handlers()
	var served []string
	for _, r := range listRoutes() {
		served = append(served, r[0]+" "+r[1])
	}
	slices.Sort(served)
	if got := slices.Sorted(maps.Keys(handlers)); !slices.Equal(got, served) {
		t.Fatalf("read %v from the source, the routes are %v", got, served)
	}
	if got := slices.Sorted(maps.Keys(documented)); !slices.Equal(got, served) {
		t.Fatalf("documented are %v, the routes are %v", got, served)
	}
	for route, handler := range handlers {
		want, got := answers{}, answers{}
		c.collect(handler, want, map[string]bool{})
		for status, r := range documented[route].Responses {
			got[status] = nil
			if len(r.Codes) > 0 {
				got[status] = slices.Sorted(slices.Values(r.Codes))
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s (%s)\n is documented to answer %v\n and can answer          %v", route, handler, got, want)
		}
	}
	anywhere := answers{}
	c.collect("dispatch", anywhere, map[string]bool{"handle": true})
	if !reflect.DeepEqual(anywhere, answers(doc.Anywhere)) {
		t.Errorf("x-problems-anywhere is %v, want %v", doc.Anywhere, anywhere)
	}
}

// The schemas are the Go types.
func TestOpenAPISchemas(t *testing.T) {
	doc, _ := readOpenAPI(t)
	types := []any{api.Result{}, api.Token{}, api.FileResult{}, api.Problem{}, api.RepositoryList{}, api.RepositoryInfo{}, api.RoleCurrent{}, api.Repository{}, api.Leaf{}, api.Lookup{}, api.Listing{}, api.ListedFile{}, api.Listings{}, api.Files{}, api.Role{}, api.RoleVersion{}, api.About{}, api.AboutAudited{}, api.AboutWitness{}}
	if len(doc.Components.Schemas) != len(types) {
		t.Errorf("%d schemas, %d types", len(doc.Components.Schemas), len(types))
	}
	for _, v := range types {
		name := reflect.TypeOf(v).Name()
		s, ok := doc.Components.Schemas[name]
		if !ok {
			t.Errorf("there is no schema %s", name)
			continue
		}
		kinds, required := map[string]string{}, []string{}
		fields(reflect.TypeOf(v), kinds, &required)
		for field, kind := range kinds {
			switch got := s.Properties[field]["type"]; {
			case s.Properties[field] == nil:
				t.Errorf("%s has no property %s", name, field)
			case got != kind:
				t.Errorf("%s.%s has type %v, want %s", name, field, got, kind)
			}
		}
		if len(s.Properties) != len(kinds) {
			t.Errorf("%s has properties %v, the type has %v", name, slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(kinds)))
		}
		if slices.Sort(required); !slices.Equal(slices.Sorted(slices.Values(s.Required)), required) {
			t.Errorf("%s requires %v, the type always has %v", name, s.Required, required)
		}
	}
	listed := doc.Components.Schemas["FileResult"].Properties["code"]["enum"].([]any)
	for _, code := range fileCodes(t) {
		if !slices.Contains(listed, any(code)) {
			t.Errorf("FileResult.code does not list %s", code)
		}
	}
	if len(listed) != len(fileCodes(t)) {
		t.Errorf("FileResult.code lists %v, the codes are %v", listed, fileCodes(t))
	}
}

// fileCodes are the codes of refused files: those of admission, and what the log
// adds.
func fileCodes(t *testing.T) []string {
	t.Helper()
	list := slices.Collect(maps.Values(constants(t, "../../admit/codes.go", "Refused")))
	return append(list, api.CodeNotLoggedRole, api.CodeUnknownRepo, api.CodeHoldFull, api.CodeHoldDropped, api.CodeEnded)
}

func fields(typ reflect.Type, kinds map[string]string, required *[]string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			fields(f.Type, kinds, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		kinds[name] = map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Int64: "integer", reflect.Bool: "boolean", reflect.Slice: "array", reflect.Struct: "object"}[kind.Kind()]
		if options != "omitempty" {
			*required = append(*required, name)
		}
	}
}

// The file is OpenAPI as far as it goes.
func TestOpenAPIStructure(t *testing.T) {
	doc, text := readOpenAPI(t)
	if doc.OpenAPI != "3.1.0" || doc.Info.Title == "" || doc.Info.Version == "" {
		t.Errorf("openapi %q, info %+v", doc.OpenAPI, doc.Info)
	}
	for _, m := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllSubmatch(text, -1) {
		name, ok := strings.CutPrefix(string(m[1]), "#/components/schemas/")
		if _, known := doc.Components.Schemas[name]; !ok || !known {
			t.Errorf("$ref %s leads nowhere", m[1])
		}
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			where := method + " " + path
			if ids[op.OperationID] || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s: operationId %q, summary %q", where, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			var inPath []string
			for _, p := range op.Parameters {
				if p.Name == "" || p.Description == "" || len(p.Schema) == 0 || !slices.Contains([]string{"path", "header", "query"}, p.In) || (p.In == "path") != p.Required {
					t.Errorf("%s: parameter %+v", where, p)
				}
				if p.In == "path" {
					inPath = append(inPath, "{"+p.Name+"}")
				}
			}
			if want := regexp.MustCompile(`\{[^}]*\}`).FindAllString(path, -1); !slices.Equal(inPath, want) {
				t.Errorf("%s: parameters %v", where, inPath)
			}
			if (op.RequestBody != nil) != (method == "post") {
				t.Errorf("%s: request body %v", where, op.RequestBody)
			}
			for status, r := range op.Responses {
				problem := status >= "400"
				if r.Description == "" || problem != (len(r.Codes) > 0) || problem && r.Content[api.TypeProblem] == nil || !problem && status != "304" && len(r.Content) == 0 {
					t.Errorf("%s: response %s: %+v", where, status, r)
				}
			}
		}
	}
}

// docs/api.md has a row for every code and a heading for every resource, and no
// others.
func TestAPIDocumentIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, value := range constants(t, "../api/codes.go", "Code") {
		want[value] = true
	}
	got := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllSubmatch(text, -1) {
		got[string(m[1])] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("docs/api.md explains the codes\n%v, there are\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	var headings []string
	for _, m := range regexp.MustCompile("(?m)^### `(GET|POST) (/[^`]*)`$").FindAllSubmatch(text, -1) {
		headings = append(headings, fmt.Sprintf("%s %s", m[1], m[2]))
	}
	var served []string
	for _, r := range listRoutes() {
		served = append(served, r[0]+" "+r[1])
	}
	slices.Sort(headings)
	slices.Sort(served)
	if !slices.Equal(headings, served) {
		t.Errorf("docs/api.md has\n%v, the routes are\n%v", headings, served)
	}
}

// listRoutes returns the patterns of the log's resources, each with its method, as
// in docs/openapi.json.
func listRoutes() [][2]string {
	list := make([][2]string, len(routes))
	for i := range routes {
		method, _, name := routes[i].split()
		list[i] = [2]string{method, name}
	}
	return list
}
