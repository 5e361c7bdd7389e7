package testvendor

import (
	"bytes"
	"testing"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

func TestPassOff(t *testing.T) {
	v, err := New(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return v.Delegate(tuf.RoleTargets, "a", "a/*") },
		func() error { return v.DelegateShared(tuf.RoleTargets, "b", "a", "b/*") },
		func() error { return v.Put("b", "b/file", []byte("content")) },
		func() error { return v.Release(tuf.RoleTargets, "a", "b") },
		func() error { return v.Release("b") },
		func() error { return v.PassOff("b", "a") },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	name, passedOff := v.File("a")
	if _, file := v.File("b"); name != "2.a.json" || !bytes.Equal(passedOff, file) {
		t.Errorf("%s is not b's file", name)
	}
	m, err := tuf.ParseJSON(passedOff)
	if err != nil {
		t.Fatal(err)
	}
	_, targets := v.File(tuf.RoleTargets)
	parent, err := tuf.ParseJSON(targets)
	if err != nil {
		t.Fatal(err)
	}
	_, keys, ok := parent.Targets.Delegations.Find("a")
	if !ok {
		t.Fatal("a is not delegated")
	}
	if err := m.Meets(keys); err != nil {
		t.Errorf("the file passed off as a's is not signed by a's key: %v", err)
	}
	_, snapshot := v.File(tuf.RoleSnapshot)
	s, err := tuf.ParseJSON(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	listed, _ := s.Snapshot.File("a.json")
	if err := listed.Matches(passedOff, 2); err != nil {
		t.Errorf("the snapshot does not list it: %v", err)
	}
}

func TestTargetFiles(t *testing.T) {
	v, err := New(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("content")
	if err := v.Put(tuf.RoleTargets, "dir/file", content); err != nil {
		t.Fatal(err)
	}
	clone, err := v.Clone()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir/file", "dir/" + tuf.Sum(content).String() + ".file"} {
		if !bytes.Equal(clone.TargetFiles()[name], content) {
			t.Errorf("no %s", name)
		}
	}
}
