package verify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tuflog/tuflog/verify"
)

// notOfSchemas are the reasons for which a text is refused before a schema could look at
// it: it is no JSON object, or repeats a name, which a schema does not see.
var notOfSchemas = []string{"EOF", "more bytes", "twice", "UTF-8", "limit"}

// docs/install-policy.schema.json, the parser and the pages agree: what one accepts the
// other does.
func TestInstallPolicySchema(t *testing.T) {
	b, err := os.ReadFile("../docs/install-policy.schema.json")
	wantOK(t, err)
	s := schema{t: t}
	wantOK(t, json.Unmarshal(b, &s.root))
	check := func(text string) error { return s.check(s.root, decode(t, text)) }

	for _, good := range goodPolicies() {
		if err := check(good.text); err != nil {
			t.Errorf("%s: refused by the schema: %v", good.text, err)
		}
	}
	refused := 0
	for _, bad := range badPolicies {
		if !json.Valid([]byte(bad.text)) || !utf8.ValidString(bad.text) || slices.Contains(notOfSchemas, bad.why) && !strings.HasPrefix(bad.text, `{"require"`) {
			continue
		}
		refused++
		if err := check(bad.text); err == nil {
			t.Errorf("%.100s: accepted by the schema, and refused by the parser: %s", bad.text, bad.why)
		}
	}
	if refused < 40 {
		t.Errorf("%d refused policies", refused)
	}

	// Samples and the example of the page are complete: the fields that there are.
	files, err := filepath.Glob("../docs/policies/*.json")
	wantOK(t, err)
	var texts []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		wantOK(t, err)
		texts = append(texts, string(b))
	}
	page, err := os.ReadFile("../docs/devices.md")
	wantOK(t, err)
	example := regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindSubmatch(page)
	if len(files) < 4 || len(example) == 0 {
		t.Fatalf("%d samples, example %q", len(files), example)
	}
	for _, text := range append(texts, string(example[1])) {
		if err := check(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := verify.ParseInstallPolicy([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	fields := slices.Sorted(maps.Keys(s.root["properties"].(map[string]any)))
	if got := slices.Sorted(maps.Keys(decode(t, string(example[1])).(map[string]any))); !slices.Equal(got, fields) {
		t.Errorf("the example has %q, the schema %q", got, fields)
	}
	for _, field := range fields {
		if !bytes.Contains(page, []byte("\n| `"+field+"` | ")) {
			t.Errorf("%q is not in the table of docs/devices.md", field)
		}
		if _, err := verify.ParseInstallPolicy(fmt.Appendf(nil, `{%q: {}}`, field)); err == nil || strings.Contains(err.Error(), "unknown field") {
			t.Errorf("%q is unknown to the parser: %v", field, err)
		}
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// schema checks values by a JSON Schema with the keywords that ours has. One that it does
// not know fails the test.
type schema struct {
	t    *testing.T
	root map[string]any
}

func (s schema) check(rules map[string]any, v any) error {
	for keyword, rule := range rules {
		if err := s.keyword(keyword, rule, rules, v); err != nil {
			return err
		}
	}
	return nil
}

func (s schema) keyword(keyword string, rule any, rules map[string]any, v any) error {
	object, isObject := v.(map[string]any)
	list, isList := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	bad := func() error { return fmt.Errorf("%v: not %s %v", v, keyword, rule) }
	holds := func(ok bool) error {
		if !ok {
			return bad()
		}
		return nil
	}
	switch keyword {
	case "$schema", "$id", "$defs", "title", "description", "then":
		return nil
	case "$ref":
		name := strings.TrimPrefix(rule.(string), "#/$defs/")
		return s.check(s.root["$defs"].(map[string]any)[name].(map[string]any), v)
	case "type":
		whole := regexp.MustCompile(`^-?[0-9]+$`)
		return holds(map[string]bool{"object": isObject, "array": isList, "string": isText, "integer": isNumber && whole.MatchString(number.String())}[rule.(string)])
	case "const":
		return holds(v == rule)
	case "enum":
		return holds(slices.ContainsFunc(rule.([]any), func(one any) bool { return one == v }))
	case "not":
		return holds(s.check(rule.(map[string]any), v) != nil)
	case "allOf":
		for _, all := range rule.([]any) {
			if err := s.check(all.(map[string]any), v); err != nil {
				return err
			}
		}
		return nil
	case "if":
		if s.check(rule.(map[string]any), v) != nil {
			return nil
		}
		return s.check(rules["then"].(map[string]any), v)
	case "pattern":
		return holds(!isText || regexp.MustCompile(rule.(string)).MatchString(text))
	case "minLength":
		return holds(!isText || utf8.RuneCountInString(text) >= int(rule.(float64)))
	case "maxLength":
		return holds(!isText || utf8.RuneCountInString(text) <= int(rule.(float64)))
	case "minimum", "maximum":
		if !isNumber {
			return nil
		}
		n, err := number.Float64()
		return holds(err == nil && (keyword == "minimum") == (n > rule.(float64)) || n == rule.(float64))
	case "minItems":
		return holds(!isList || len(list) >= int(rule.(float64)))
	case "uniqueItems":
		for i, a := range list {
			if slices.Contains(list[:i], a) {
				return bad()
			}
		}
		return nil
	case "items":
		for _, item := range list {
			if err := s.check(rule.(map[string]any), item); err != nil {
				return err
			}
		}
		return nil
	case "contains":
		return holds(!isList || slices.ContainsFunc(list, func(item any) bool { return s.check(rule.(map[string]any), item) == nil }))
	case "required":
		for _, name := range rule.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return bad()
			}
		}
		return nil
	case "dependentRequired":
		for name, others := range rule.(map[string]any) {
			if _, ok := object[name]; ok {
				if err := s.keyword("required", others, nil, v); err != nil {
					return err
				}
			}
		}
		return nil
	case "properties":
		for name, rules := range rule.(map[string]any) {
			if value, ok := object[name]; ok {
				if err := s.check(rules.(map[string]any), value); err != nil {
					return fmt.Errorf("%q: %w", name, err)
				}
			}
		}
		return nil
	case "additionalProperties":
		for name := range object {
			if _, ok := rules["properties"].(map[string]any)[name]; !ok {
				return fmt.Errorf("%q: not a property", name)
			}
		}
		return nil
	}
	s.t.Fatalf("the schema has %q, which this test does not know", keyword)
	return nil
}
