package device_test

import (
	"bytes"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// logScenes are of a log that lies, or of somebody who would pass for one.
var logScenes = []scene{
	{name: "log with a stranger's key", code: verify.CodeWrongLog, role: "targets", process: true, do: func(w *world) {
		w.loggedBy("targets", func(l *testlog.Log) { l.Key = testlog.NewSigner(w.t, "log.example/updates", proofs.Ed25519) })
	}},
	{name: "log of another name", code: verify.CodeWrongLog, role: "targets", do: func(w *world) {
		w.loggedBy("targets", func(l *testlog.Log) { l.Key = testlog.NewSigner(w.t, "log.example/evil", proofs.Ed25519) })
	}},
	{name: "second log of the trust policy", code: verify.CodeWrongLog, role: "targets", says: "which the trust policy lists as well", do: func(w *world) {
		w.loggedBy("targets", func(l *testlog.Log) { l.Key = w.second })
	}},
	{name: "no signature of a log", code: verify.CodeWrongLog, role: "targets", do: func(w *world) {
		w.forgeNote("targets", func(n *proofs.Note) { n.Signatures = n.Signatures[1:] })
	}},
	{name: "origin of another log", code: verify.CodeWrongLog, role: "targets", do: func(w *world) {
		w.forgeNote("targets", func(n *proofs.Note) {
			w.sign(n, strings.Replace(n.Text, "log.example/updates", "log.example/other", 1))
		})
	}},
	{name: "another tree of a size that the device has seen", code: verify.CodeForked, role: "targets", says: "two histories: of ", process: true, do: func(w *world) {
		state, _, err := device.Store{Dir: w.dir}.State()
		must(w.t, err)
		fork := testlog.New(w.t, "log.example/updates", 0, w.log.Quorum)
		fork.Key, fork.Witnesses = w.log.Key, w.log.Witnesses
		for range state.Tree.N - 1 {
			fork.Add([]byte("of another history"))
		}
		entry := w.leaf(w.name("targets")).Marshal()
		w.put(w.proof("targets"), fork.Proof(entry, fork.Add(entry), w.times...))
	}},
	{name: "forged signature of the log", code: verify.CodeBadProof, role: "targets", says: "signature does not verify", do: func(w *world) {
		w.forgeNote("targets", func(n *proofs.Note) { flip(n.Signatures[0].Sig) })
	}},
	{name: "checkpoint altered", code: verify.CodeBadProof, role: "targets", says: "signature does not verify", do: func(w *world) {
		w.forgeNote("targets", func(n *proofs.Note) { n.Text = strings.Replace(n.Text, "\n6\n", "\n7\n", 1) })
	}},
	{name: "wrong tree size", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forgeTree("targets", func(t *proofs.Tree) { t.N += 100 })
	}},
	{name: "smaller tree than the entry's", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forgeTree("targets", func(t *proofs.Tree) { t.N = 1 })
	}},
	{name: "empty tree", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forgeTree("targets", func(t *proofs.Tree) { *t = proofs.EmptyTree })
	}},
	{name: "wrong root", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forgeTree("targets", func(t *proofs.Tree) { t.Hash[0] ^= 1 })
	}},
	{name: "another index", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Index-- })
	}},
	{name: "index beyond the tree", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Index += 1000 })
	}},
	{name: "path altered", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Hashes[0][0] ^= 1 })
	}},
	{name: "path too short", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Hashes = p.Hashes[1:] })
	}},
	{name: "path too long", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Hashes = append(p.Hashes, p.Hashes[0]) })
	}},
	{name: "leaf altered", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Extra = bytes.Replace(p.Extra, []byte("version 3"), []byte("version 4"), 1) })
	}},
	{name: "leaf in another spelling", code: verify.CodeBadProof, role: "targets", says: "the leaf in the proof", do: func(w *world) {
		entry := bytes.Replace(w.leaf(w.name("targets")).Marshal(), []byte("version 3"), []byte("version 03"), 1)
		w.put(w.proof("targets"), w.log.Proof(entry, w.log.Add(entry), w.times...))
	}},
	{name: "leaf of another encoding", code: verify.CodeBadProof, role: "targets", says: "about encoding", do: func(w *world) {
		w.entry("targets", func(l *leaf.Leaf) { l.Encoding = tuf.Pigweed })
	}},
	{name: "tree that only the log signed", code: verify.CodeQuorumShort, role: "targets", do: func(w *world) {
		w.cosigned("targets")
	}},
	{name: "logged as evidence", code: verify.CodeEvidence, role: "targets", process: true, do: func(w *world) {
		w.entry("targets", func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Evidence, 1 })
	}},
}

// witnessScenes are of witnesses that are away or lie. A quorum has three of the four, and
// one of them may lie about the time.
var witnessScenes = []scene{
	{name: "a witness away", do: func(w *world) {
		w.cosigned("targets", w.times[0], w.times[0], w.times[0])
		w.cosigned("app", -1, w.times[0], w.times[0], w.times[0])
	}},
	{name: "two witnesses away", code: verify.CodeQuorumShort, role: "targets", process: true, do: func(w *world) { w.cosigned("targets", w.times[0], w.times[0]) }},
	{name: "witnesses away from a root", code: verify.CodeQuorumShort, role: "root", do: func(w *world) {
		w.rotate("targets")
		w.cosigned("root", w.times[0], w.times[0])
	}},
	{name: "cosignature twice", code: verify.CodeQuorumShort, role: "targets", do: func(w *world) {
		w.cosigned("targets", w.times[0], w.times[0])
		w.forgeNote("targets", func(n *proofs.Note) { n.Signatures = append(n.Signatures, n.Signatures[1]) })
	}},
	{name: "one witness for three", code: verify.CodeQuorumShort, role: "targets", do: func(w *world) {
		w.cosigned("targets", w.times[0])
		w.forgeNote("targets", func(n *proofs.Note) {
			for i := range 2 {
				s, err := w.log.Witnesses[0].Sign(n.Text, w.times[0]+int64(i)+1)
				must(w.t, err)
				n.Signatures = append(n.Signatures, s)
			}
		})
	}},
	{name: "strangers as witnesses", code: verify.CodeQuorumShort, role: "targets", do: func(w *world) {
		w.loggedBy("targets", func(l *testlog.Log) { l.Witnesses = testlog.New(w.t, "log.example/other", 4, "3").Witnesses })
	}},
	{name: "forged cosignature", code: verify.CodeBadProof, role: "targets", says: "signature does not verify", do: func(w *world) {
		w.forgeNote("targets", func(n *proofs.Note) { flip(n.Signatures[2].Sig[8:]) })
	}},
	{name: "cosignature with another time", code: verify.CodeBadProof, role: "targets", says: "signature does not verify", do: func(w *world) {
		w.forgeNote("targets", func(n *proofs.Note) { n.Signatures[2].Sig[7]++ })
	}},
	{name: "cosignatures of another tree", code: verify.CodeBadProof, role: "targets", says: "signature does not verify", do: func(w *world) {
		other, err := proofs.ParseProof(w.get("2.targets.json.tlog-proof"))
		must(w.t, err)
		note, err := proofs.ParseNote(other.Checkpoint)
		must(w.t, err)
		w.forgeNote("targets", func(n *proofs.Note) { n.Signatures = append(n.Signatures[:1], note.Signatures[1:]...) })
	}},
	{name: "a witness ahead of time", do: func(w *world) { w.cosigned("targets", epoch.Add(90*day).Unix(), w.times[0], w.times[0]) }},
	{name: "a witness ahead of time, and no clock", do: func(w *world) {
		w.cfg.Now = time.Time{}
		w.cosigned("targets", epoch.Add(90*day).Unix(), w.times[0], w.times[0])
	}},
	{name: "two witnesses ahead of time, and no clock", code: verify.CodeExpired, role: "timestamp", lasts: true, do: func(w *world) { // more than may lie
		w.cfg.Now = time.Time{}
		w.cosigned("targets", epoch.Add(90*day).Unix(), epoch.Add(90*day).Unix(), w.times[0])
	}},
	{name: "two witnesses ahead of time, and a clock", do: func(w *world) {
		w.cosigned("targets", epoch.Add(90*day).Unix(), epoch.Add(90*day).Unix(), w.times[0])
	}},
	{name: "a witness that makes a release old", code: verify.CodeTooYoung, role: "targets", lasts: true, do: func(w *world) {
		w.cfg.Install.MinAge = day
		w.cosigned("targets", epoch.Add(-week).Unix(), w.times[0], w.times[0])
	}},
	{name: "two witnesses that make a release old", do: func(w *world) { // more than may lie
		w.cfg.Install.MinAge = day
		w.cosigned("targets", epoch.Add(-week).Unix(), epoch.Add(-week).Unix(), w.times[0])
		w.cosigned("app", epoch.Add(-week).Unix(), epoch.Add(-week).Unix(), w.times[0])
	}, lasts: true},
}

// loggedBy serves the proof by another log, or by one with other witnesses, beside a role's
// file.
func (w *world) loggedBy(role string, change func(*testlog.Log)) {
	w.t.Helper()
	l := w.log.Clone(w.t)
	change(l)
	entry := w.leaf(w.name(role)).Marshal()
	w.put(w.proof(role), l.Proof(entry, l.Add(entry), w.times...))
}

// forgeNote changes the signed checkpoint in the proof of a role's file.
func (w *world) forgeNote(role string, change func(*proofs.Note)) {
	w.t.Helper()
	w.forge(role, func(p *proofs.Proof) {
		n, err := proofs.ParseNote(p.Checkpoint)
		must(w.t, err)
		change(&n)
		p.Checkpoint = n.Marshal()
	})
}

// sign makes a note one of this text that log and witnesses signed.
func (w *world) sign(n *proofs.Note, text string) {
	w.t.Helper()
	*n = proofs.Note{Text: text}
	for i, signer := range append([]*proofs.Signer{w.log.Key}, w.log.Witnesses...) {
		at := int64(0)
		if i > 0 {
			at = w.times[0]
		}
		s, err := signer.Sign(text, at)
		must(w.t, err)
		n.Signatures = append(n.Signatures, s)
	}
}

// forgeTree makes log and witnesses sign another tree in the proof of a role's file.
func (w *world) forgeTree(role string, change func(*proofs.Tree)) {
	w.t.Helper()
	w.forgeNote(role, func(n *proofs.Note) {
		c, err := proofs.ParseCheckpoint(n.Text)
		must(w.t, err)
		change(&c.Tree)
		w.sign(n, c.String())
	})
}

// flip changes the last byte.
func flip(b []byte) { b[len(b)-1] ^= 1 }
