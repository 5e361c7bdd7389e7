package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// offered is a release with its proofs, as a mirror could offer it.
type offered struct {
	role          string
	security      bool
	hash          bool // it was logged beside a snapshot that lists its hash
	approved      bool
	first, newest []proofs.Cosignature
}

// weakerWorld has the keys and the metadata of the test.
type weakerWorld struct {
	r         *rand.Rand
	log       *proofs.Signer
	witnesses []proofs.Key
	plain     *tuf.Metadata
	urgent    *tuf.Metadata
}

func newWeakerWorld(t *testing.T) *weakerWorld {
	w := &weakerWorld{r: rand.New(rand.NewPCG(5, 6)), log: testlog.NewSigner(t, "log.example", proofs.Ed25519)}
	for _, name := range []string{"w0", "w1", "w2", "w3", "w0"} { // two keys of one witness
		w.witnesses = append(w.witnesses, testlog.NewSigner(t, name+".example", proofs.CosignatureV1).Key())
	}
	parse := func(custom string) *tuf.Metadata {
		m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{"a":{"hashes":{"sha256":"%v"},"length":1%s}},"version":1}}`, tuf.Sum(nil), custom))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	w.plain, w.urgent = parse(""), parse(`,"custom":{"tuflog":{"security":true}}`)
	return w
}

// config returns policies that fit together.
func (w *weakerWorld) config(t *testing.T) Config {
	for {
		var b strings.Builder
		fmt.Fprintf(&b, "log %v\n", w.log.Key())
		var names []string
		for i, key := range w.witnesses {
			if w.r.IntN(4) > 0 {
				names = append(names, fmt.Sprint("n", i))
				fmt.Fprintf(&b, "witness n%d %v\n", i, key)
			}
		}
		if len(names) < 2 {
			continue
		}
		fmt.Fprintf(&b, "group g %d %s\nquorum g\n", 1+w.r.IntN(len(names)), strings.Join(names, " "))
		policy, err := proofs.ParsePolicy([]byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		wait := func() time.Duration { return time.Duration(w.r.IntN(3)) * 10 * time.Second }
		p := InstallPolicy{FaultyWitnesses: w.r.IntN(4), MinAge: wait(), RootQuarantine: wait(), SnapshotHashes: w.r.IntN(2) == 0, Approval: Approval(w.r.IntN(3))}
		if p.Approval != ApproveAuto {
			if p.Postpone = wait(); p.Postpone > 0 {
				p.PostponeSecurity = wait()
			}
		}
		if w.r.IntN(3) == 0 {
			p.Require = []string{requireRoot, requireTargets}
		}
		cfg := Config{Policy: policy, Install: p}
		if _, err := cfg.check(); err == nil {
			return cfg
		}
	}
}

// cosigned is what some witnesses sign, at small times so that ages are near the waits.
func (w *weakerWorld) cosigned() []proofs.Cosignature {
	var list []proofs.Cosignature
	for _, key := range w.witnesses {
		if w.r.IntN(4) > 0 {
			list = append(list, proofs.Cosignature{Key: key, Time: 1 + w.r.Int64N(40)})
		}
	}
	return list
}

// accepts reports whether a device accepts a release under policies.
func (w *weakerWorld) accepts(cfg Config, o offered) bool {
	faulty, err := cfg.check()
	if err != nil {
		return false
	}
	c := &Client{cfg: cfg, faulty: faulty, requirements: requirementsOf(cfg, tuf.Digest{}, faulty)}
	m := w.plain
	if o.security {
		m = w.urgent
	}
	made := offer{role: o.role, m: m, power: true}
	if c.needsProof(o.role) {
		if cfg.Install.SnapshotHashes && !o.hash {
			return false
		}
		// A proof has the signatures of the witnesses that the policy knows.
		open := func(all []proofs.Cosignature) *Logged {
			checkpoint := new(proofs.SignedCheckpoint)
			for _, cosignature := range all {
				at := slices.IndexFunc(cfg.Policy.Witnesses, func(w proofs.PolicyWitness) bool { return w.Key.String() == cosignature.Key.String() })
				if at >= 0 {
					cosignature.Witness = cfg.Policy.Witnesses[at].Name
					checkpoint.Cosignatures = append(checkpoint.Cosignatures, cosignature)
				}
			}
			have := func(name string) bool {
				return slices.ContainsFunc(checkpoint.Cosignatures, func(c proofs.Cosignature) bool { return c.Witness == name })
			}
			if cfg.Policy.Satisfied(have) != nil {
				return nil
			}
			return &Logged{Checkpoint: checkpoint}
		}
		if made.proof, made.latest = open(o.first), open(o.newest); made.proof == nil || made.latest == nil {
			return false
		}
	}
	if o.approved {
		// An owner's word is about the release, under any policies.
		c.state.Approved = []Approved{{Role: o.role, Version: m.Version, Payload: m.PayloadDigest}}
	}
	return c.decide(made) == nil
}

// Whatever a device accepts under policies that are not weaker it accepts under those before:
// signatures, times, lies about times, hashes, marks and approvals included.
func TestNotWeakerAcceptsNoMore(t *testing.T) {
	w := newWeakerWorld(t)
	var offers []offered
	for range 150 {
		offers = append(offers, offered{
			role:     []string{tuf.RoleRoot, tuf.RoleTargets, "delegated"}[w.r.IntN(3)],
			security: w.r.IntN(2) == 0, hash: w.r.IntN(4) > 0, approved: w.r.IntN(4) == 0,
			first: w.cosigned(), newest: w.cosigned(),
		})
	}
	type policies struct {
		cfg      Config
		req      Requirements
		accepted []bool
	}
	var all []policies
	many := 120
	if testing.Short() {
		many = 50
	}
	for range many {
		cfg := w.config(t)
		faulty, err := cfg.check()
		if err != nil {
			t.Fatal(err)
		}
		p := policies{cfg: cfg, req: requirementsOf(cfg, tuf.Digest{}, faulty)}
		for _, o := range offers {
			p.accepted = append(p.accepted, w.accepts(cfg, o))
		}
		all = append(all, p)
	}
	notWeaker, accepted := 0, 0
	for i, now := range all {
		for j, before := range all {
			if i == j || len(now.req.weakerThan(before.req)) > 0 {
				continue
			}
			notWeaker++
			for k, o := range offers {
				if now.accepted[k] {
					accepted++
					if !before.accepted[k] {
						t.Fatalf("%+v is accepted under\n%s%s\nand was not under\n%s%s", o, now.req.Policy, now.req.Install.Marshal(), before.req.Policy, before.req.Install.Marshal())
					}
				}
			}
		}
	}
	if notWeaker < 100 || accepted < 100 {
		t.Errorf("%d pairs that are not weaker, %d releases accepted: the test looks at too little", notWeaker, accepted)
	}
	t.Logf("%d pairs, %d releases", notWeaker, accepted)
}
