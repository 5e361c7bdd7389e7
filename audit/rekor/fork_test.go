package rekor_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// A Rekor that signs two histories is found out by whoever remembers its checkpoint.
func TestFork(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		i := l.instance()
		for n := range 300 {
			l.Add(fmt.Appendf(nil, `{"n":%d}`, n))
		}
		at, err := i.Follow(t.Context(), rekor.Position{})
		if err != nil || at.Checkpoint == "" {
			t.Fatalf("%+v, %v", at, err)
		}
		l.Add([]byte(`{"n":300}`))
		later, err := i.Follow(t.Context(), at)
		if err != nil || later.Checkpoint == at.Checkpoint {
			t.Fatalf("%+v, %v", later, err)
		}
		forked := func(what string, from rekor.Position) {
			t.Helper()
			var fork *rekor.ForkError
			got, err := i.Follow(t.Context(), from)
			if !errors.As(err, &fork) || !errors.Is(err, rekor.ErrMisbehaved) || got != from {
				t.Errorf("%s: %+v, %v", what, got, err)
				return
			}
			if fork.Older == fork.Newer || fork.Older == "" || fork.Newer == "" {
				t.Errorf("%s: %+v", what, fork)
			}
		}
		// An older one, as from a cache, is no fork, and not gone back to.
		l.Leaves = l.Leaves[:300]
		if l.version == 1 {
			// A v1 has to prove it, and has the rest to prove it with.
			whole := append(slices.Clone(l.Leaves), []byte(`{"n":300}`))
			l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/api/v1/log/proof" {
					l.Leaves = whole
					l.ServeV1(w, r)
					l.Leaves = l.Leaves[:300]
					return true
				}
				return false
			}
		} else {
			l.Leaves, l.Hidden = append(slices.Clone(l.Leaves), []byte(`{"n":300}`)), 0
			all := l.Leaves
			l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/checkpoint" {
					w.Write([]byte(l.CheckpointV2(all[:300])))
					return true
				}
				return false
			}
		}
		if got, err := i.Follow(t.Context(), later); err != nil || got != later {
			t.Errorf("an older checkpoint: %v", err)
		}
		l.Instead = nil
		l.Leaves = l.Leaves[:300]
		// One entry was other than it was.
		l.Leaves[7] = []byte(`{"n":"another"}`)
		forked("the same size", at)
		for n := range 30 {
			l.Add(fmt.Appendf(nil, `{"more":%d}`, n))
		}
		forked("a larger tree", at)
		forked("a larger tree than a larger one", later)
	})
}

// Scan reads no entry of a fork.
func TestScanOfFork(t *testing.T) {
	l := newLedger(t, 2)
	v, i := newVendorlog(t), l.instance()
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil {
		t.Fatal(err)
	}
	_, at, err := i.Scan(t.Context(), v.key, rekor.Position{})
	if err != nil {
		t.Fatal(err)
	}
	l.Leaves[0] = []byte("{}")
	if _, err := i.Submit(t.Context(), v.note(t, 2), v.key); err != nil {
		t.Fatal(err)
	}
	var fork *rekor.ForkError
	if anchors, got, err := i.Scan(t.Context(), v.key, at); !errors.As(err, &fork) || got != at || anchors != nil {
		t.Errorf("%v, %+v, %v", anchors, got, err)
	}
}

// A v1 may begin another tree, if the one before ends as it was.
func TestShardRotation(t *testing.T) {
	l := newLedger(t, 1)
	i := l.instance()
	l.Add([]byte(`{"n":0}`))
	at, err := i.Follow(t.Context(), rekor.Position{})
	if err != nil {
		t.Fatal(err)
	}
	l.Add([]byte(`{"n":1}`))
	old, ended := slices.Clone(l.Leaves), l.CheckpointV1()
	oldID := l.TreeID
	l.TreeID, l.Leaves = 42, [][]byte{[]byte(`{"of":"the next"}`)}
	shards := []any{nil, map[string]any{}, map[string]any{"rootHash": strings.Repeat("0", 64), "treeID": fmt.Sprint(oldID), "treeSize": 2, "signedTreeHead": ended}}
	l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/api/v1/log":
			root := rekortest.RootOf(l.Leaves)
			rekortest.Say(w, 200, map[string]any{"rootHash": fmt.Sprintf("%x", root[:]), "treeSize": 1, "treeID": "42", "signedTreeHead": l.CheckpointV1(), "inactiveShards": shards})
			return true
		case "/api/v1/log/proof":
			if r.URL.Query().Get("treeID") != fmt.Sprint(oldID) {
				t.Errorf("asked for %s", r.URL.RawQuery)
			}
			now := l.Leaves
			l.Leaves = old
			l.ServeV1(w, r)
			l.Leaves = now
			return true
		}
		return false
	}
	got, err := i.Follow(t.Context(), at)
	if err != nil || !strings.Contains(got.Checkpoint, "rekor.example - 42\n") {
		t.Errorf("%+v, %v", got, err)
	}
	old[0] = []byte(`{"n":"another"}`)
	now := l.Leaves
	l.TreeID, l.Leaves = oldID, old
	shards[2].(map[string]any)["signedTreeHead"] = l.CheckpointV1()
	l.TreeID, l.Leaves = 42, now
	if _, err := i.Follow(t.Context(), at); !errors.Is(err, rekor.ErrMisbehaved) {
		t.Errorf("another end: %v", err)
	}
	shards = nil
	if _, err := i.Follow(t.Context(), at); !errors.Is(err, rekor.ErrMisbehaved) {
		t.Errorf("no end: %v", err)
	}
}

// What v1's index lies about is an error in its place, and the rest is read.
func TestLyingIndex(t *testing.T) {
	l := newLedger(t, 1)
	v, other, i := newVendorlog(t), newVendorlog(t), l.instance()
	for size := range int64(3) {
		if _, err := i.Submit(t.Context(), v.note(t, size+1), v.key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := i.Submit(t.Context(), other.note(t, 1), other.key); err != nil {
		t.Fatal(err)
	}
	name := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.key.PublicKey()}))
	if _, err := x509.ParsePKIXPublicKey(v.key.PublicKey()); err != nil {
		t.Fatal(err)
	}
	count := func() (good, bad int) {
		for listed, err := range i.List(t.Context(), v.key, nil) {
			a := listed.Anchor
			if err == nil && a != nil {
				good++
			} else if !errors.Is(err, rekor.ErrMisbehaved) {
				t.Errorf("%v", err)
			} else {
				bad++
			}
		}
		return good, bad
	}
	l.Names[3] = name
	if good, bad := count(); good != 3 || bad != 1 {
		t.Errorf("another's entry: %d good, %d bad", good, bad)
	}
	index := func(ids ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/index/retrieve" {
				return false
			}
			rekortest.Say(w, 200, ids)
			return true
		}
	}
	l.Instead = index(l.UUID(0), strings.Repeat("0", 64), l.UUID(1), l.UUID(0))
	if good, bad := count(); good != 2 || bad != 1 {
		t.Errorf("an entry that is not there: %d good, %d bad", good, bad)
	}
	for _, id := range []string{"", "x", strings.ToUpper(l.UUID(0)), l.UUID(0) + "00", "../" + l.UUID(0)} {
		l.Instead = index(l.UUID(0), id)
		if good, bad := count(); good != 0 || bad != 1 {
			t.Errorf("%q: %d good, %d bad", id, good, bad)
		}
	}
	l.Instead = nil
	l.Names[3] = ""
	// It returns another entry under the name of the one that it was asked for.
	l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/log/entries/retrieve" {
			return false
		}
		e := l.EntryV1(0).(map[string]any)[l.UUID(0)]
		rekortest.Say(w, 200, []any{map[string]any{l.UUID(0): e}, map[string]any{l.UUID(1): e}, nil, map[string]any{l.UUID(2): nil}})
		return true
	}
	if good, bad := count(); good != 1 || bad != 2 {
		t.Errorf("another entry: %d good, %d bad", good, bad)
	}
	// Who has heard enough can leave.
	l.Instead = nil
	for range i.List(t.Context(), v.key, nil) {
		break
	}
}

// Tiles and bundles are believed if they lead to the root; what is missing is an outage. What was
// read before stays read.
func TestBadTiles(t *testing.T) {
	l := newLedger(t, 2)
	v, i := newVendorlog(t), l.instance()
	for n := range 600 {
		if n == 10 || n == 400 {
			if _, err := i.Submit(t.Context(), v.note(t, int64(n)), v.key); err != nil {
				t.Fatal(err)
			}
		}
		l.Add(fmt.Appendf(nil, `{"n":%d}`, n))
	}
	answer := func(path string, give func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			give(w)
			return true
		}
	}
	second := "/" + proofs.EntriesPath(1, 256)
	for name, c := range map[string]struct {
		path string
		give func(w http.ResponseWriter)
		want error
	}{
		"missing":        {second, func(w http.ResponseWriter) { w.WriteHeader(404) }, rekor.ErrUnavailable},
		"empty":          {second, func(w http.ResponseWriter) {}, rekor.ErrMisbehaved},
		"cut off":        {second, func(w http.ResponseWriter) { w.Write([]byte{0, 9, 1}) }, rekor.ErrMisbehaved},
		"another bundle": {second, func(w http.ResponseWriter) { w.Write(bundleOf(l.Leaves[:256])) }, rekor.ErrMisbehaved},
		"a hole":         {second, func(w http.ResponseWriter) { w.Write(bundleOf(l.Leaves[257:512])) }, rekor.ErrMisbehaved},
		"huge":           {second, func(w http.ResponseWriter) { w.Write(make([]byte, 17<<20)) }, rekor.ErrMisbehaved},
		"tile":           {"/tile/0/001", func(w http.ResponseWriter) { w.Write(make([]byte, 256*32)) }, rekor.ErrMisbehaved},
		"short tile":     {"/tile/0/001", func(w http.ResponseWriter) { w.Write(make([]byte, 32)) }, rekor.ErrMisbehaved},
		"redirect":       {second, func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(302) }, rekor.ErrMisbehaved},
	} {
		t.Run(name, func(t *testing.T) {
			l.Instead = answer(c.path, c.give)
			anchors, at, err := i.Scan(t.Context(), v.key, rekor.Position{})
			if !errors.Is(err, c.want) || len(anchors) != 1 || at.Next != 256 || at.Done() {
				t.Fatalf("%d anchors, at %d, %v", len(anchors), at.Next, err)
			}
			l.Instead = nil
			anchors, at, err = i.Scan(t.Context(), v.key, at)
			if err != nil || len(anchors) != 1 || at.Next != 602 || !at.Done() {
				t.Fatalf("%d anchors, at %d, %v", len(anchors), at.Next, err)
			}
		})
	}
	// A log may drop partial tiles once there are full ones.
	l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/002.p/") {
			w.WriteHeader(404)
			return true
		}
		return false
	}
	checkpoint := l.CheckpointV2(l.Leaves)
	for n := range 200 {
		l.Add(fmt.Appendf(nil, `{"more":%d}`, n))
	}
	l.Leaves = l.Leaves[:768]
	partial := l.Instead
	l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/checkpoint" {
			w.Write([]byte(checkpoint))
			return true
		}
		return partial(w, r)
	}
	if anchors, at, err := i.Scan(t.Context(), v.key, rekor.Position{}); err != nil || len(anchors) != 2 || at.Next != 602 {
		t.Errorf("%d anchors, at %d, %v", len(anchors), at.Next, err)
	}
}

func bundleOf(leaves [][]byte) (bundle []byte) {
	for _, leaf := range leaves {
		bundle, _ = proofs.AppendEntry(bundle, leaf)
	}
	return bundle
}

// A position that was damaged is refused as such, and does not blame Rekor.
func TestBadPosition(t *testing.T) {
	l := newLedger(t, 2)
	v, i := newVendorlog(t), l.instance()
	l.Add([]byte("{}"))
	_, at, err := i.Scan(t.Context(), v.key, rekor.Position{})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []rekor.Position{
		{Next: 1}, {Next: 2, Checkpoint: at.Checkpoint}, {Next: 1 << 63, Checkpoint: at.Checkpoint}, {Checkpoint: "x"},
		{Next: 1, Checkpoint: newLedger(t, 2).CheckpointV2(l.Leaves)},
	} {
		if _, got, err := i.Scan(t.Context(), v.key, bad); err == nil || errors.Is(err, rekor.ErrMisbehaved) || got != bad {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
