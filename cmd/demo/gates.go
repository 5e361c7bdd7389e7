package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/verify"
)

const (
	gateCount   = 3
	gatesNeeded = 2
	// gatedLife is how long a timestamp lives that gates sign: less than the 14 days that they
	// allow.
	gatedLife = 7 * 24 * time.Hour
)

// gated is the vendor's repository behind gates, and who installs from it: a client that knows
// no log, and a device beside it.
type gated struct {
	gates  []*service
	config []string // the gates' configuration files
	site   site     // what the vendor publishes
	stock  *stock
	device *device
}

// gate has the vendor's timestamps signed by gates, so that a client that knows no log refuses
// what a device refuses.
func (s *story) gate(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{s.startGates, s.gateRelease, s.installGated, s.neverGated, s.rollBackGated} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startGates starts the gates, and has the vendor name their keys in its root.
func (s *story) startGates(ctx context.Context) error {
	step := s.t.step("partners", "start %d gates, each with a new key (auditor gate serve)", gateCount)
	g := &gated{}
	metadata, err := s.vendor.published()
	if err != nil {
		return err
	}
	if g.site, err = s.mirror.publish("gated", metadata, s.vendor.TargetFiles()); err != nil {
		return err
	}
	keys, err := s.w.startGates(ctx, filepath.Join(s.dir, "gates"), g, metadata["1.root.json"])
	if err != nil {
		return err
	}
	s.gated = g
	step.outcome("%s and others", g.gates[0].url)

	what := fmt.Sprintf("names the gates in its root: a timestamp takes its own signature and %d of theirs. Releases firmware 2.5", gatesNeeded)
	step = s.t.step("vendor", "%s", what)
	s.vendor.TimestampExpires = time.Now().Add(gatedLife)
	if err := s.vendor.Gate(1+gatesNeeded, keys...); err != nil {
		return err
	}
	if err := putAndRelease(s.vendor.Vendor, "2.5"); err != nil {
		return err
	}
	fresh, _, err := s.w.released(ctx, s.vendor)
	if err != nil {
		return err
	}
	step.outcome("%s", entries(fresh))
	return nil
}

// startGates makes and starts gates for one repository, and returns their keys.
func (w *world) startGates(ctx context.Context, dir string, g *gated, root []byte) ([]ed25519.PublicKey, error) {
	if err := writeFiles(dir, files{"root.json": root}); err != nil {
		return nil, err
	}
	var keys []ed25519.PublicKey
	var peers, addresses []string
	for i := range gateCount {
		line, err := w.p.must(ctx, "auditor", "gate", "key", "--out", filepath.Join(dir, fmt.Sprintf("gate-%d.key", i+1)))
		if err != nil {
			return nil, err
		}
		key := strings.TrimSpace(line)
		public, err := hex.DecodeString(key)
		if err != nil {
			return nil, fmt.Errorf("auditor gate key: %w", err)
		}
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		keys, addresses = append(keys, public), append(addresses, address)
		peers = append(peers, fmt.Sprintf("\n[[repository.gate]]\nkey = %q\nurl = %q\n", key, "http://"+address))
	}
	for i, address := range addresses {
		// A demo asks more often than a vendor does.
		text := fmt.Sprintf("dir = %q\nlisten = %q\nkey = %q\nmax_per_repository = -1\n\n[[repository]]\nname = \"vendor\"\nroot = %q\npolicy = %q\nserved = %q\n",
			filepath.Join(dir, fmt.Sprintf("state-%d", i+1)), address, filepath.Join(dir, fmt.Sprintf("gate-%d.key", i+1)), filepath.Join(dir, "root.json"), w.policy, g.site.metadata)
		for j, peer := range peers {
			if j != i {
				text += peer
			}
		}
		name := fmt.Sprintf("gate-%d.toml", i+1)
		if err := writeFiles(dir, files{name: []byte(text)}); err != nil {
			return nil, err
		}
		g.config, g.gates = append(g.config, filepath.Join(dir, name)), append(g.gates, nil)
		if err := w.startGate(ctx, g, i); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (w *world) startGate(ctx context.Context, g *gated, i int) (err error) {
	g.gates[i], err = w.p.start(ctx, fmt.Sprintf("gate-%d", i+1), "auditor", "gate", "serve", "--config", g.config[i])
	return err
}

// freeAddress is an address at which nobody listens: gates have to know each other's before
// they start.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// gateSaid is what publisher gate --json prints, as far as the demo reads it.
type gateSaid struct {
	Has    int `json:"has"`
	Wanted int `json:"wanted"`
	Gates  []struct {
		Signed bool        `json:"signed"`
		Code   verify.Code `json:"code"`
		Why    string      `json:"why"`
	} `json:"gates"`
}

// publisher returns the arguments of publisher gate for a folder.
func (g *gated) publisher(dir string, flags ...string) []string {
	args := append([]string{"gate"}, flags...)
	for _, s := range g.gates {
		args = append(args, "--gate", s.url)
	}
	return append(args, dir)
}

// ask runs publisher gate, which must exit with the code given.
func (s *story) ask(ctx context.Context, wantCode int, dir string) (said gateSaid, err error) {
	o, err := s.w.p.run(ctx, "publisher", s.gated.publisher(dir, "--json")...)
	if err != nil {
		return said, err
	}
	if o.code != wantCode {
		return said, o.unexpected(fmt.Sprint(wantCode))
	}
	if err := json.Unmarshal([]byte(o.stdout), &said); err != nil {
		return said, fmt.Errorf("%s printed no JSON: %w", o.command, err)
	}
	return said, nil
}

// gateRelease has the timestamp signed while a gate is away, and publishes it.
func (s *story) gateRelease(ctx context.Context) error {
	const away = gateCount - 1
	step := s.t.step("partner", "loses power at gate %d", away+1)
	s.w.p.killForGood(s.gated.gates[away])
	step.outcome("%d are left", gateCount-1)

	step = s.t.step("vendor", "has its timestamp signed by gates, and publishes it (publisher gate)")
	said, err := s.ask(ctx, 0, s.vendor.dir)
	if err != nil {
		return err
	}
	signed := 0
	for _, g := range said.Gates {
		if g.Signed {
			signed++
		}
	}
	if signed != gatesNeeded || said.Has != said.Wanted || said.Wanted != 1+gatesNeeded {
		return fmt.Errorf("publisher gate: %+v; expected %d gates to sign", said, gatesNeeded)
	}
	if err := s.publishGated(); err != nil {
		return err
	}
	step.outcome("%d gates sign, 1 is away; it has %d of %d signatures", signed, said.Has, said.Wanted)

	step = s.t.step("partner", "starts gate %d again", away+1)
	if err := s.w.startGate(ctx, s.gated, away); err != nil {
		return err
	}
	step.outcome("it looks at what is served, and at the others")
	return nil
}

// releaseGated submits the vendor's folder, has its timestamp signed by gates and publishes it.
func (s *story) releaseGated(ctx context.Context) ([]publish.Verdict, error) {
	fresh, _, err := s.w.released(ctx, s.vendor)
	if err != nil {
		return nil, err
	}
	if _, err := s.ask(ctx, 0, s.vendor.dir); err != nil {
		return nil, err
	}
	return fresh, s.publishGated()
}

// publishGated serves what is in the vendor's folder.
func (s *story) publishGated() error {
	metadata, err := s.vendor.published()
	if err != nil {
		return err
	}
	s.gated.site, err = s.mirror.publish("gated", metadata, s.vendor.TargetFiles())
	return err
}

// installGated installs with a client that knows no log, and a device beside it.
func (s *story) installGated(ctx context.Context) (err error) {
	step := s.t.step("client", "knows no log: go-tuf's %s, unchanged; updates from the vendor's mirror", stockClient)
	g := s.gated
	if g.stock, err = s.w.newStock(ctx, filepath.Join(s.dir, "client"), g.site, s.vendor.Files()["1.root.json"]); err != nil {
		return err
	}
	want := s.vendor.TargetFiles()[firmware]
	if err := g.stock.installs(ctx, g.site, firmware, want); err != nil {
		return err
	}
	step.outcome("firmware 2.5 is installed")

	step = s.t.step("device 6", "updates from the same mirror")
	if g.device, err = s.device.like(filepath.Join(s.dir, "devices", "gated")); err != nil {
		return err
	}
	if _, err := g.device.installs(ctx, g.site, firmware, want); err != nil {
		return err
	}
	step.outcome("firmware 2.5 is installed")
	return nil
}

// neverGated is a release that is signed and not logged.
func (s *story) neverGated(ctx context.Context) error {
	step := s.t.step("thief", "has all keys but root's and the gates'; signs firmware 6.7 in secret, and asks the gates")
	thief, err := s.vendor.twin("")
	if err != nil {
		return err
	}
	if err := putAndRelease(thief.Vendor, "6.7"); err != nil {
		return err
	}
	honest, err := s.vendor.published()
	if err != nil {
		return err
	}
	bad, err := s.mirror.publish("never-gated", overlay(honest, thief.Files()), thief.TargetFiles())
	if err != nil {
		return err
	}
	said, err := s.ask(ctx, 1, bad.dir)
	if err != nil {
		return err
	}
	for _, g := range said.Gates {
		if g.Signed || g.Code != verify.CodeNotLogged {
			return fmt.Errorf("publisher gate: %+v; expected every gate to refuse with %s", said, verify.CodeNotLogged)
		}
	}
	step.below("%d gates refuse with %s: %s", len(said.Gates), verify.CodeNotLogged, said.Gates[0].Why)
	return s.refuseBoth(ctx, "is offered that nevertheless", bad, "not enough signatures", verify.CodeBadMetadata)
}

// rollBackGated serves what was current before.
func (s *story) rollBackGated(ctx context.Context) error {
	step := s.t.step("vendor", "releases firmware 2.6, has it signed by gates, and publishes it")
	before, err := s.vendor.published()
	if err != nil {
		return err
	}
	if err := putAndRelease(s.vendor.Vendor, "2.6"); err != nil {
		return err
	}
	fresh, err := s.releaseGated(ctx)
	if err != nil {
		return err
	}
	want := s.vendor.TargetFiles()[firmware]
	if err := s.gated.stock.installs(ctx, s.gated.site, firmware, want); err != nil {
		return err
	}
	if _, err := s.gated.device.installs(ctx, s.gated.site, firmware, want); err != nil {
		return err
	}
	step.below("%s; both have installed it", entries(fresh))
	old, err := s.mirror.publish("gated-before", before, s.vendor.TargetFiles())
	if err != nil {
		return err
	}
	return s.refuseBoth(ctx, "is offered firmware 2.5 again, gates' signatures and all", old, "new timestamp version", verify.CodeRollback)
}

// refuseBoth offers a site to the client that knows no log, and to the device beside it.
func (s *story) refuseBoth(ctx context.Context, what string, bad site, words string, code verify.Code) error {
	step := s.t.step("client", "%s", what)
	reason, err := s.gated.stock.isRefused(ctx, bad, firmware, words)
	if err != nil {
		return err
	}
	step.below("REFUSED: %s", reason)
	step = s.t.step("device 6", "%s", what)
	if reason, err = s.gated.device.isRefused(ctx, bad, firmware, code); err != nil {
		return err
	}
	step.refused(string(code), reason, 2)
	return nil
}
