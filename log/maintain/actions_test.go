package maintain_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/maintain"
)

// Actions of operators are read line by line, one that is cut short too.
func TestReadActions(t *testing.T) {
	dir := t.TempDir()
	if list, err := maintain.ReadActions(dir); err != nil || len(list) > 0 {
		t.Errorf("none: %v, %v", list, err)
	}
	a := maintain.Action{Time: time.Unix(1700000000, 0).UTC(), Action: "freeze", Detail: "at size 3"}
	check(t, maintain.AppendAction(dir, a))
	check(t, maintain.AppendAction(dir, a))
	path := filepath.Join(dir, maintain.ActionsFile)
	b, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, b[:len(b)-5], 0o600))
	list, err := maintain.ReadActions(dir)
	if err != nil || len(list) != 2 || list[0] != a || list[1].Action != "unreadable" || !strings.Contains(list[1].Detail, "freeze") {
		t.Errorf("%+v, %v", list, err)
	}
}
