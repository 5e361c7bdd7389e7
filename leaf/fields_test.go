package leaf_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

func TestFields(t *testing.T) {
	a, b, c, d := tuf.Sum([]byte("a")), tuf.Sum([]byte("b")), tuf.Sum([]byte("c")), tuf.Sum([]byte("d"))
	release := leaf.Leaf{Kind: leaf.Release, Repository: a, Role: "ö/1", Version: 3, Payload: b, Metadata: c, Size: 7, Snapshot: d, Listed: leaf.ByHash, Encoding: tuf.JSON}
	evidence := release
	evidence.Kind, evidence.Role, evidence.Contradicts = leaf.Evidence, tuf.RoleTargets, 0
	root := leaf.Leaf{Kind: leaf.Release, Repository: a, Role: tuf.RoleRoot, Version: 1, Payload: a, Metadata: c, Size: 7, Encoding: tuf.JSON}
	head := func(kind, role, version, payload string) string {
		return `{"kind":"` + kind + `","repository":"` + a.String() + `","role":"` + role + `","version":` + version + `,"payload":"` + payload + `","metadata":"` + c.String() + `","size":7`
	}
	for want, l := range map[string]leaf.Leaf{
		head("release", "ö/1", "3", b.String()) + `,"snapshot":"` + d.String() + `","listed":"hash","encoding":"json"}`:                      release,
		head("evidence", "targets", "3", b.String()) + `,"snapshot":"` + d.String() + `","listed":"hash","encoding":"json","contradicts":0}`: evidence,
		head("release", "root", "1", a.String()) + `,"encoding":"json"}`:                                                                     root,
	} {
		shown, err := json.Marshal(l.Fields())
		if err != nil || string(shown) != want {
			t.Errorf("%s, %v\nwant\n%s", shown, err, want)
		}
		var f leaf.Fields
		if err := json.Unmarshal(shown, &f); err != nil {
			t.Fatal(err)
		}
		if back, err := f.Leaf(); err != nil || back != l {
			t.Errorf("%s is read as %+v, %v", shown, back, err)
		}
		for what, spoil := range map[string]func(*leaf.Fields){
			"payload": func(f *leaf.Fields) { f.Payload = strings.ToUpper(f.Payload) },
			"kind":    func(f *leaf.Fields) { f.Kind = "rumour" },
			"version": func(f *leaf.Fields) { f.Version = 0 },
		} {
			bad := f
			spoil(&bad)
			if _, err := bad.Leaf(); err == nil {
				t.Errorf("a leaf of another %s was read: %+v", what, bad)
			}
		}
	}
}
