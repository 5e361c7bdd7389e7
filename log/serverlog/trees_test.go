package serverlog

import "testing"

// A storage's URL names a tree, or the log server at which one is to be made.
func TestURLsOfTrees(t *testing.T) {
	for url, want := range map[string]struct {
		tree   bool
		server string // empty: an error
	}{
		"trillian://10.0.0.9:8090":      {false, "trillian://10.0.0.9:8090"},
		"trillian://10.0.0.9:8090/1234": {true, "trillian://10.0.0.9:8090"},
		"trillians://host:8090/1":       {true, "trillians://host:8090"},
		"trillian://10.0.0.9:8090/tree": {false, "trillian://10.0.0.9:8090"},
		"trillian://10.0.0.9:80 90/":    {},
	} {
		server, err := withoutTree(url)
		if server != want.server || (err == nil) != (want.server != "") {
			t.Errorf("%s is at %q, %v; want %q", url, server, err, want.server)
		}
		if tree, err := hasTree(url); tree != want.tree || tree && err != nil {
			t.Errorf("%s names a tree: %v, %v; want %v", url, tree, err, want.tree)
		}
	}
	if _, err := hasTree("trillian://10.0.0.9:8090/tree"); err == nil {
		t.Error("a tree whose number is not one is taken")
	}
	if got := nameOf(1234); got != "trillian tree 1234" {
		t.Errorf("the database calls it %q", got)
	}
}
