package alert_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/alert"
)

// docs/monitor.md says what an event has, and what can be configured.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/monitor.md")
	ok(t, err)
	_, text, found := strings.Cut(string(b), "\n## Delivery\n")
	if !found {
		t.Fatal("there is no section on it")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for _, of := range []struct {
		tag    string
		values []any
	}{
		{"json", []any{alert.Event{}, alert.Cause{}, alert.Counts{}, alert.LogHealth{}}},
		{"toml", []any{alert.Config{}, alert.To{}, alert.Route{}}},
	} {
		for _, v := range of.values {
			for f := range reflect.TypeOf(v).Fields() {
				name, _, _ := strings.Cut(f.Tag.Get(of.tag), ",")
				if name != "" && name != "-" && !strings.Contains(text, name) {
					t.Errorf("nothing is said of %s", name)
				}
			}
		}
	}
}
