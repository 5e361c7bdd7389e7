package gate_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// The key may be in an ssh-agent: the signatures are those of the key itself.
func TestKeyInAnAgent(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	dir := w.stage(w.vendor)
	g := w.gates[0]
	want := w.wantSigned(g, dir)

	ring := agent.NewKeyring()
	seed, err := hex.DecodeString(g.key.Private()[len(g.key.Private())-2*ed25519.SeedSize:])
	must(t, err, ring.Add(agent.AddedKey{PrivateKey: ed25519.NewKeyFromSeed(seed)}))
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }()
		}
	}()
	g.stop()
	g.cfg = func(c *gate.Config) { c.Key, c.SSHAgent = "", socket }
	g.start()
	if a := w.wantSigned(g, dir); *a != *want {
		t.Errorf("the agent signs %+v, want %+v", a, want)
	}
	must(t, ring.RemoveAll())
	if _, err := gate.AgentKey(socket, ""); err == nil {
		t.Error("an agent without keys has one")
	}
}
