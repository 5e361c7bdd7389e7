package device_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/verify"
)

// docs/refusals.md explains every code, says all that it promises, and names the scenes
// that end in it; and those that are no refusal.
func TestEveryRefusalIsExplained(t *testing.T) {
	b, err := os.ReadFile("../docs/refusals.md")
	must(t, err)
	played := map[verify.Code][]string{}
	for _, s := range scenes() {
		if slices.ContainsFunc(played[s.code], func(name string) bool { return name == s.name }) {
			t.Errorf("there are two scenes %q", s.name)
		}
		played[s.code] = append(played[s.code], s.name)
	}
	if len(scenes())-len(played[""]) < 80 {
		t.Errorf("%d scenes", len(scenes()))
	}
	var explained []verify.Code
	for _, part := range regexp.MustCompile(`(?m)^##`).Split(string(b), -1)[1:] {
		head, text, _ := strings.Cut(part, "\n")
		code := verify.Code("")
		if strings.HasPrefix(head, "#") {
			code = verify.Code(strings.Trim(head, "# `"))
			explained = append(explained, code)
			for _, part := range []string{"\n**It is** ", "\n**Do.** ", "\nScenes: "} {
				if strings.Count(text, part) != 1 {
					t.Errorf("%s: want one %q", code, part)
				}
			}
		}
		_, list, ok := strings.Cut(text, "\nScenes: ")
		if !ok {
			continue
		}
		var named []string
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(list, -1) {
			named = append(named, m[1])
		}
		if want := played[code]; !slices.Equal(named, want) {
			t.Errorf("%q names the scenes\n`%s`\nwant\n`%s`", head, strings.Join(named, "`, `"), strings.Join(want, "`, `"))
		}
	}
	slices.Sort(explained)
	if want := slices.Sorted(slices.Values(verify.Codes())); !slices.Equal(explained, want) {
		t.Errorf("explained are\n%v\ncodes are\n%v", explained, want)
	}
}
