package runtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/bench/testbed"
	"github.com/tuflog/tuflog/proofs"
)

// World is a log and three witnesses, two of which are a quorum.
type World struct {
	Dir       string
	Policy    *proofs.Policy // also in the file policy
	Log       *Service       // of the directory log
	Witnesses []*Service
}

// NewWorld makes a log and its witnesses and starts all of them; flags are more
// arguments of logserver serve. The log has one key: a second one of 1,312 bytes is of no
// use to most tests.
func NewWorld(t testing.TB, flags ...string) *World {
	t.Helper()
	Programs(t, "logserver", "witness") // both at once is faster
	w := &World{Dir: t.TempDir()}
	w.Serve(t, Must(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log", "--only", "ed25519"), flags...)
	return w
}

// Serve makes and starts witnesses for the log in the directory log, whose key is
// vkey, and starts the log.
func (w *World) Serve(t testing.TB, vkey string, flags ...string) {
	t.Helper()
	run := func(program string, args ...string) (string, error) { return Must(t, program, args...), nil }
	var witnesses []testbed.Witness
	for _, name := range []string{"w1", "w2", "w3"} {
		made, err := testbed.NewWitness(run, w.Path(name), name, "example", vkey)
		if err != nil {
			t.Fatal(err)
		}
		s := Serve(t, "witness", "serve", "--dir", made.Dir)
		made.URL = s.URL
		w.Witnesses, witnesses = append(w.Witnesses, s), append(witnesses, made)
	}
	policy := testbed.Policy(vkey, 2, witnesses)
	w.Write(t, "policy", policy)
	var err error
	if w.Policy, err = proofs.ParsePolicy([]byte(policy)); err != nil {
		t.Fatal(err)
	}
	w.Log = Serve(t, "logserver", append([]string{"serve", "--dir", w.Path("log"), "--policy", w.Path("policy")}, flags...)...)
}

// Path is the path of a file of the world.
func (w *World) Path(name string) string { return filepath.Join(w.Dir, name) }

// Write writes a file of the world.
func (w *World) Write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(w.Path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
