package runtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
// arguments of logserver serve.
func NewWorld(t testing.TB, flags ...string) *World {
	t.Helper()
	Programs(t, "logserver", "witness") // both at once is faster
	w := &World{Dir: t.TempDir()}
	w.Serve(t, Must(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log"), flags...)
	return w
}

// Serve makes and starts witnesses for the log in the directory log, whose key is
// vkey, and starts the log.
func (w *World) Serve(t testing.TB, vkey string, flags ...string) {
	t.Helper()
	policy := "log " + vkey + "\n"
	for _, name := range []string{"w1", "w2", "w3"} {
		key := Must(t, "witness", "init", "--dir", w.Path(name), "--name", name+".example")
		Must(t, "witness", "log", "add", "--dir", w.Path(name), vkey)
		s := Serve(t, "witness", "serve", "--dir", w.Path(name))
		w.Witnesses = append(w.Witnesses, s)
		policy += fmt.Sprintf("witness %s %s %s\n", name, key, s.URL)
	}
	policy += "group all 2 w1 w2 w3\nquorum all\n"
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
