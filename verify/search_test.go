package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// edge is one delegation of a test's graph, "*" unless it has paths.
type edge struct {
	from, to    string
	terminating bool
	paths       []string
}

func TestClientFind(t *testing.T) {
	tests := []struct {
		name    string
		edges   []edge
		lists   string // the role that lists the target, "" for none
		path    string // of the target; "" for "file"
		visited string
		found   bool
	}{
		{"in targets", nil, "targets", "", "targets", true},
		{"nowhere", []edge{{from: "targets", to: "A"}}, "", "", "targets A", false},
		{"in listed order", []edge{{from: "targets", to: "A"}, {from: "targets", to: "B"}}, "", "", "targets A B", false},
		{"first that lists it", []edge{{from: "targets", to: "A"}, {from: "targets", to: "B"}}, "A", "", "targets A", true},
		{"depth first", []edge{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C"}, {from: "C", to: "D"}}, "", "", "targets A C D B", false},
		{"terminating", []edge{{from: "targets", to: "A", terminating: true}, {from: "targets", to: "B"}}, "B", "", "targets A", false},
		{"terminating, one level down", []edge{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C", terminating: true}, {from: "C", to: "D"}, {from: "A", to: "E"}},
			"B", "", "targets A C D", false},
		{"terminating, but not for this path", []edge{{from: "targets", to: "A", terminating: true, paths: []string{"*.py"}}, {from: "targets", to: "B"}}, "B", "", "targets B", true},
		{"before a terminating one", []edge{{from: "targets", to: "A"}, {from: "targets", to: "B", terminating: true}, {from: "targets", to: "C"}}, "C", "", "targets A B", false},
		{"path not delegated", []edge{{from: "targets", to: "A", paths: []string{"a/*"}}}, "A", "b/file", "targets", false},
		{"path delegated by one only", []edge{{from: "targets", to: "A", paths: []string{"a/*"}}, {from: "A", to: "B", paths: []string{"b/*"}}}, "B", "b/file", "targets", false},
		{"a cycle", []edge{{from: "targets", to: "A"}, {from: "A", to: "B"}, {from: "B", to: "A"}}, "", "", "targets A B", false},
		{"two ways to one role", []edge{{from: "targets", to: "A"}, {from: "targets", to: "B"}, {from: "A", to: "C"}, {from: "B", to: "C"}}, "", "", "targets A C B", false},
		{"odd names", []edge{{from: "targets", to: "../A"}, {from: "../A", to: "?#"}, {from: "?#", to: "ö"}}, "ö", "", "targets ../A ?# ö", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			roles := []string{}
			for _, e := range tt.edges {
				paths := e.paths
				if paths == nil {
					paths = []string{"*"}
				}
				r.delegate(e.from, e.to, e.terminating, paths...)
				if !slices.Contains(roles, e.to) {
					roles = append(roles, e.to)
				}
			}
			path := tt.path
			if path == "" {
				path = "file"
			}
			if tt.lists != "" {
				r.put(tt.lists, path, "content")
			}
			r.publish(append(roles, "targets", "snapshot", "timestamp")...)
			d := newFakeDevice(t, r.last("root"))
			wantOK(t, d.refresh(r, r.config()))
			r.requests = nil
			lookup, err := d.find(r, path)
			wantOK(t, err)
			if got := strings.Join(lookup.Visited, " "); got != tt.visited || (lookup.Target != nil) != tt.found || tt.found && lookup.Role != tt.lists {
				t.Errorf("visited %q, found %v in %q; want %q, %v", got, lookup.Target != nil, lookup.Role, tt.visited, tt.found)
			}
			if len(r.requests) != len(lookup.Visited)-1 {
				t.Errorf("%d roles fetched for %q", len(r.requests), lookup.Visited)
			}
			// A second device run has the roles already.
			r.requests = nil
			wantOK(t, d.refresh(r, r.config()))
			_, err = d.find(r, path)
			wantOK(t, err)
			if want := []string{"2.root.json", "timestamp.json"}; !slices.Equal(r.requests, want) {
				t.Errorf("requested %q, want %q", r.requests, want)
			}
		})
	}
}

func TestClientFindStopsAtMaxRoles(t *testing.T) {
	r := newFakeRepo(t)
	var roles []string
	for i := range 40 {
		roles = append(roles, fmt.Sprintf("r%d", i))
		r.delegate("targets", roles[i], false, "*")
	}
	r.put("r39", "file", "content")
	r.publish(append(roles, "targets", "snapshot", "timestamp")...)
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, r.config()))
	lookup, err := d.find(r, "file")
	wantOK(t, err)
	if lookup.Target != nil || !lookup.Truncated || len(lookup.Visited) != verify.DefaultMaxRoles {
		t.Errorf("found %v after %d roles, truncated %v", lookup.Target, len(lookup.Visited), lookup.Truncated)
	}
	cfg := r.config()
	cfg.MaxRoles = 41
	wantOK(t, d.refresh(r, cfg))
	if lookup, err = d.find(r, "file"); err != nil || lookup.Target == nil {
		t.Errorf("not found among 41 roles: %+v, %v", lookup, err)
	}
}

func TestClientDelegatedRefusals(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *fakeRepo)
		code verify.Code
	}{
		{"good", func(*fakeRepo) {}, ""},
		{"unsigned", func(r *fakeRepo) { r.signers["A"] = nil }, verify.CodeBadMetadata},
		{"signed by the delegator's key", func(r *fakeRepo) { r.signers["A"] = r.signers["targets"] }, verify.CodeBadMetadata},
		{"expired", func(r *fakeRepo) { r.targets["A"].Signed.Expires = epoch }, verify.CodeExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			r.delegate("targets", "A", false, "*")
			r.put("A", "file", "content")
			tt.do(r)
			r.publish("A", "targets", "snapshot", "timestamp")
			d := newFakeDevice(t, r.last("root"))
			wantOK(t, d.refresh(r, r.config()))
			_, err := d.find(r, "file")
			if tt.code == "" {
				wantOK(t, err)
			} else {
				wantRefused(t, err, tt.code, "A")
			}
		})
	}

	t.Run("not in the snapshot", func(t *testing.T) {
		r := newFakeRepo(t)
		r.delegate("targets", "A", false, "*")
		r.publish("targets", "snapshot", "timestamp")
		d := newFakeDevice(t, r.last("root"))
		wantOK(t, d.refresh(r, r.config()))
		_, err := d.find(r, "file")
		wantRefused(t, err, verify.CodeBadMetadata, "A")
	})

	// One file can be reached through two delegators; each must have meant it.
	t.Run("through another delegator", func(t *testing.T) {
		r := newFakeRepo(t)
		r.delegate("targets", "A", false, "a/*")
		r.delegate("targets", "B", false, "b/*")
		r.delegate("A", "C", false, "a/*")
		r.signers["C"] = r.signers["C"][:1]
		r.delegate("B", "C", false, "b/*")
		r.put("C", "a/file", "content")
		r.put("C", "b/file", "content")
		both := r.signers["C"]
		r.signers["C"] = both[:1] // only the key that A names
		r.publish("A", "B", "C", "targets", "snapshot", "timestamp")
		d := newFakeDevice(t, r.last("root"))
		wantOK(t, d.refresh(r, r.config()))
		lookup, err := d.find(r, "a/file")
		wantOK(t, err)
		if lookup.Role != "C" {
			t.Errorf("found in %q", lookup.Role)
		}
		_, err = d.find(r, "b/file")
		wantRefused(t, err, verify.CodeBadMetadata, "C")
		r.signers["C"] = both
		r.publish("C", "snapshot", "timestamp")
		wantOK(t, d.refresh(r, r.config()))
		for _, path := range []string{"a/file", "b/file"} {
			if lookup, err := d.find(r, path); err != nil || lookup.Role != "C" {
				t.Errorf("%s: %+v, %v", path, lookup, err)
			}
		}
	})
}

func TestClientSuccinctBins(t *testing.T) {
	r := newFakeRepo(t)
	private, key := newTUFKey(t)
	id, err := key.ID()
	wantOK(t, err)
	d := r.delegations("targets")
	d.Keys[id] = key
	d.SuccinctRoles = &metadata.SuccinctRoles{KeyIDs: []string{id}, Threshold: 1, BitLength: 2, NamePrefix: "bin"}
	roles := d.SuccinctRoles.GetRoles()
	for _, bin := range roles {
		r.targets[bin] = metadata.Targets(epoch.Add(valid))
		r.signers[bin] = append(r.signers[bin], private)
	}
	want := d.SuccinctRoles.GetRolesForTarget("file")[0].Name
	r.put(want, "file", "content")
	r.publish(append(roles, "targets", "snapshot", "timestamp")...)
	dev := newFakeDevice(t, r.last("root"))
	wantOK(t, dev.refresh(r, r.config()))
	lookup, err := dev.find(r, "file")
	wantOK(t, err)
	if lookup.Target == nil || lookup.Role != want {
		t.Errorf("found %+v, want it in %s", lookup, want)
	}
	if _, err := dev.find(r, "another file"); err != nil {
		t.Error(err)
	}
}

func TestRequestNames(t *testing.T) {
	r := verify.Request{Role: "../ö?", Version: 3}
	if r.FileName() != "3.../ö?.json" || r.URLName() != "3...%2F%C3%B6%3F.json" {
		t.Errorf("%q, %q", r.FileName(), r.URLName())
	}
	if r := (verify.Request{Role: "timestamp"}); r.URLName() != "timestamp.json" {
		t.Errorf("%q", r.URLName())
	}
}

func TestTargetCheck(t *testing.T) {
	content := "the content of a target"
	f, err := metadata.TargetFile().FromBytes("x", []byte(content), "sha256", "sha512")
	wantOK(t, err)
	target := tuf.TargetFile{Length: f.Length, Hashes: map[string]string{}}
	for algorithm, sum := range f.Hashes {
		target.Hashes[algorithm] = sum.String()
	}
	with := func(change func(*tuf.TargetFile)) tuf.TargetFile {
		c := target
		c.Hashes = map[string]string{}
		for k, v := range target.Hashes {
			c.Hashes[k] = v
		}
		change(&c)
		return c
	}
	tests := []struct {
		name    string
		target  tuf.TargetFile
		content string
		ok      bool
	}{
		{"right", target, content, true},
		{"sha256 only", with(func(f *tuf.TargetFile) { delete(f.Hashes, "sha512") }), content, true},
		{"sha512 only", with(func(f *tuf.TargetFile) { delete(f.Hashes, "sha256") }), content, true},
		{"an unknown hash too", with(func(f *tuf.TargetFile) { f.Hashes["blake3"] = "00" }), content, true},
		{"one wrong hash of two", with(func(f *tuf.TargetFile) { f.Hashes["sha512"] = strings.Repeat("0", 128) }), content, false},
		{"no known hash", with(func(f *tuf.TargetFile) { f.Hashes = map[string]string{"blake3": "00"} }), content, false},
		{"no length", with(func(f *tuf.TargetFile) { f.Length = -1 }), content, false},
		{"too long", target, content + "!", false},
		{"too short", target, content[1:], false},
		{"empty", target, "", false},
		{"other content", target, strings.ToUpper(content), false},
	}
	for _, tt := range tests {
		got := func() error {
			c, err := verify.NewTargetCheck(tt.target)
			if err != nil {
				return err
			}
			for _, b := range []byte(tt.content) {
				if _, err := c.Write([]byte{b}); err != nil {
					return err
				}
			}
			return c.Done()
		}()
		if tt.ok && got != nil {
			t.Errorf("%s: %v", tt.name, got)
		} else if !tt.ok {
			wantRefused(t, got, verify.CodeBadMetadata, "")
		}
	}
}
