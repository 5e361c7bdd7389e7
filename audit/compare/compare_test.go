package compare_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/compare"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// source is a vantage that serves what it likes.
type source func(r verify.Request) ([]byte, error)

func (s source) Fetch(_ context.Context, r verify.Request) ([]byte, error) { return s(r) }

// of serves a vendor's files.
func of(v *testvendor.Vendor) source {
	files := v.Files()
	return func(r verify.Request) ([]byte, error) {
		if b, ok := files[r.FileName()]; ok {
			return b, nil
		}
		return nil, fs.ErrNotExist
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A vantage may serve anything, for ever: what is read of it is bounded, and whatever is
// not as it should be is in a row.
func TestHostileVantages(t *testing.T) {
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	l := audittest.New(t)
	_, root := v.File(tuf.RoleRoot)
	repo := l.Register(root)
	submit := func(role string) {
		t.Helper()
		_, file := v.File(role)
		if _, snapshot := v.File(tuf.RoleSnapshot); role == tuf.RoleRoot {
			l.Submit(repo, role, file)
		} else {
			l.Submit(repo, role, file, snapshot)
		}
	}
	submit(tuf.RoleTargets)
	l.Publish(2)
	old := of(v)
	must(t, v.Rotate(tuf.RoleTargets))
	must(t, v.Release(tuf.RoleTargets))
	submit(tuf.RoleRoot)
	submit(tuf.RoleTargets)
	must(t, v.Delegate(tuf.RoleTargets, "plugin", "plugin/*"))
	must(t, v.Release(tuf.RoleTargets, "plugin"))
	submit(tuf.RoleTargets)
	submit("plugin")
	l.Publish(2)
	s := subject(t, l)

	next, err := v.Clone()
	must(t, err)
	must(t, next.Rotate(tuf.RoleTargets))
	must(t, next.Release(tuf.RoleTargets))
	evil, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	without := func(role string) source {
		return func(r verify.Request) ([]byte, error) {
			if r.Role == role {
				return nil, fs.ErrNotExist
			}
			return of(v)(r)
		}
	}
	down := errors.New("the connection was closed")
	for _, tt := range []struct {
		name  string
		serve source
		want  string // role version verdict, of each row
	}{
		{"what is logged", of(v), "root 2 logged, targets 3 logged, plugin 1 logged, snapshot 3 untracked, timestamp 3 untracked"},
		// No device goes on behind the first of them.
		{"roots that nobody signed, for ever", func(r verify.Request) ([]byte, error) {
			if r.Role == tuf.RoleRoot && r.Version > 2 {
				_, root := v.File(tuf.RoleRoot)
				return []byte(strings.Replace(string(root), `"version":2`, fmt.Sprintf(`"version":%d`, r.Version), 1)), nil
			}
			return of(v)(r)
		}, "root 2 logged, root 3 unsigned, targets 3 logged, plugin 1 logged, snapshot 3 untracked, timestamp 3 untracked"},
		// That the snapshot lists a logged file does not mean that it is served.
		{"no targets", without(tuf.RoleTargets), "root 2 logged, targets 0 missing, plugin 1 logged, snapshot 3 untracked, timestamp 3 untracked"},
		{"a delegated role withheld", without("plugin"), "root 2 logged, targets 3 logged, plugin 0 missing, snapshot 3 untracked, timestamp 3 untracked"},
		{"another file under a listed name", func(r verify.Request) ([]byte, error) {
			if r.Role == tuf.RoleTargets {
				return evil.Files()["1.targets.json"], nil
			}
			return of(v)(r)
		}, "root 2 logged, targets 0 missing, plugin 1 logged, snapshot 3 untracked, timestamp 3 untracked"},
		{"a listed file, changed", func(r verify.Request) ([]byte, error) {
			b, err := of(v)(r)
			if r.Role == "plugin" {
				b = append(b, '\n')
			}
			return b, err
		}, "root 2 logged, targets 3 logged, plugin 1 logged, snapshot 3 untracked, timestamp 3 untracked"},
		{"what was logged before", old, "root 1 behind, targets 1 behind, snapshot 1 untracked, timestamp 1 untracked"},
		{"keys that are not logged", of(next), "root 2 logged, root 3 unlogged, targets 4 unlogged, plugin 1 logged, snapshot 4 untracked, timestamp 4 untracked"},
		// Its first targets are as empty as the vendor's own.
		{"another vendor's", of(evil), "root 1 unsigned, targets 1 behind, snapshot 1 unsigned, timestamp 1 unsigned"},
		{"one root for ever", func(r verify.Request) ([]byte, error) {
			if r.Role == tuf.RoleRoot {
				return v.Files()["2.root.json"], nil
			}
			return of(v)(r)
		}, "root 0 missing, root 2 logged, targets 3 logged, plugin 1 logged, snapshot 3 untracked, timestamp 3 untracked"},
		{"one file for all", func(verify.Request) ([]byte, error) { return v.Files()["2.root.json"], nil },
			"root 0 missing, root 2 logged, snapshot 0 missing, timestamp 0 missing"},
		{"nothing", func(verify.Request) ([]byte, error) { return nil, fs.ErrNotExist }, "root 0 missing, snapshot 0 missing, timestamp 0 missing"},
		{"errors", func(verify.Request) ([]byte, error) { return nil, down }, "root 0 missing, root 0 missing, snapshot 0 missing, timestamp 0 missing"},
		{"more than is read", func(r verify.Request) ([]byte, error) { return make([]byte, r.MaxLength), nil },
			"root 0 missing, root 0 missing, snapshot 0 missing, timestamp 0 missing"},
	} {
		rows, err := s.Compare(t.Context(), []compare.Vantage{{Name: "here", Source: tt.serve}})
		must(t, err)
		var got []string
		for _, row := range rows {
			got = append(got, fmt.Sprintf("%s %d %s", row.Role, row.Version, row.Verdict))
			if refused := strings.Contains(row.Sentence, "devices refuse it"); refused != (tt.name == "a listed file, changed" && row.Role == "plugin") {
				t.Errorf("%s: %s: %s", tt.name, row.Role, row.Sentence)
			}
			if row.Vantage != "here" || row.Sentence == "" {
				t.Errorf("%s: %+v", tt.name, row)
			}
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, strings.Join(got, ", "), tt.want)
		}
	}

	// A device has the files that it needed.
	for role, want := range map[string]compare.Verdict{"plugin": compare.Logged, tuf.RoleTargets: compare.Missing} {
		rows, err := s.Compare(t.Context(), []compare.Vantage{{Name: "device", Source: without(role), Partial: true}})
		must(t, err)
		for _, row := range rows {
			if row.Role == role && (row.Verdict != want || !strings.Contains(row.Sentence, "it is not there")) {
				t.Errorf("%s on a device: %s: %s", role, row.Verdict, row.Sentence)
			}
		}
	}
}

// A vendor has published before the log began, and a mirror has only that. It is the vendor's
// own, as far as the keys of then show, and devices of that time accept it.
func TestBeforeTheLog(t *testing.T) {
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	thief, err := v.Clone()
	must(t, err)
	must(t, thief.Delegate(tuf.RoleTargets, "plugin", "plugin/*")) // which is no more when the log begins
	must(t, thief.Release(tuf.RoleTargets, "plugin"))
	mirror := of(thief)
	must(t, v.Release(tuf.RoleTargets))
	must(t, v.Rotate(tuf.RoleTargets))
	must(t, v.Release(tuf.RoleTargets))
	l := audittest.New(t)
	_, root := v.File(tuf.RoleRoot)
	repo := l.Register(root)
	_, file := v.File(tuf.RoleTargets)
	_, snapshot := v.File(tuf.RoleSnapshot)
	l.Submit(repo, tuf.RoleTargets, file, snapshot)
	l.Publish(2)
	// With the keys of then somebody signs what is newer than what is logged.
	for range 3 {
		must(t, thief.Release(tuf.RoleTargets))
	}
	other, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	s := subject(t, l)
	for _, tt := range []struct {
		name  string
		serve source
		want  string
	}{
		{"a mirror of then", mirror, "root 1 older, targets 2 older, plugin 1 older, snapshot 2 untracked, timestamp 2 untracked"},
		{"old keys", of(thief), "root 1 older, targets 5 unlogged, plugin 1 unsigned, snapshot 5 untracked, timestamp 5 untracked"},
		{"another vendor's", of(other), "root 1 unsigned, targets 1 unsigned, snapshot 1 unsigned, timestamp 1 unsigned"},
	} {
		rows, err := s.Compare(t.Context(), []compare.Vantage{{Name: "here", Source: tt.serve}})
		must(t, err)
		var got []string
		for _, row := range rows {
			got = append(got, fmt.Sprintf("%s %d %s", row.Role, row.Version, row.Verdict))
			if strings.Contains(row.Sentence, "no device accepts it") && row.Role != "plugin" {
				t.Errorf("%s: %s: %s", tt.name, row.Role, row.Sentence)
			}
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, strings.Join(got, ", "), tt.want)
		}
	}
}

// subject is the one repository of a log.
func subject(t *testing.T, l *audittest.Log) *compare.Subject {
	t.Helper()
	a, err := audit.New(t.Context(), audit.Config{Source: l.Source(), Policy: l.Policy()})
	must(t, err)
	t.Cleanup(func() { _ = a.Close() })
	_, err = a.Step(t.Context())
	must(t, err)
	histories, err := a.Histories(t.Context(), "")
	must(t, err)
	s, err := compare.NewSubject(compare.Config{History: histories[0], Now: time.Unix(l.Time, 0)})
	must(t, err)
	return s
}
