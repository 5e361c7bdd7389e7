package watch_test

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A scene is a fault of a log, a vendor or a repository, and the kind of the one alert that
// it is worth.
type scene struct {
	name string
	kind audit.Kind
	set  func(s *stage) // before the monitor looks for the first time; nil: nothing
	do   func(s *stage)
}

// staleFor is how long a scene shows an older checkpoint: some looks.
const staleFor = 1500 * time.Millisecond

// grow logs a release and publishes it.
func grow(s *stage, content string) {
	s.release("app.bin", content)
	s.log.Publish(2)
}

// forked is the log with another history after its first entries.
func forked(s *stage, common int64, then func(o *stage)) *audittest.Log {
	o := &stage{t: s.t, name: s.name, log: s.log.Beginning(common), vendor: s.twin(), repo: s.repo}
	then(o)
	return o.log
}

// asLive serves what is logged, from the start.
func asLive(s *stage) { s.serve(s.vendor) }

// expecting says that nothing but what is logged will be released, from the start.
func expecting(s *stage) { s.expect(1, 0) }

func admission(name string, do func(s *stage)) scene {
	return scene{name, audit.FalseAdmission, nil, func(s *stage) { do(s); s.log.Publish(2) }}
}

// logged is a scene with a release that the rules admit.
func logged(name string, kind audit.Kind, set, do func(s *stage)) scene {
	return scene{name, kind, set, func(s *stage) { do(s); s.log.Publish(2) }}
}

var scenes = []scene{
	// The log shows different histories.
	{"another tree of the same size", audit.Fork, nil, func(s *stage) {
		common := s.log.Size() - 1
		s.log.Become(forked(s, common, func(o *stage) { grow(o, "for one customer") }))
	}},
	{"a larger tree that does not begin with it", audit.Fork, nil, func(s *stage) {
		common := s.log.Size() - 1
		s.log.Become(forked(s, common, func(o *stage) { grow(o, "right"); grow(o, "right again") }))
	}},
	{"a smaller tree of another history", audit.Fork, func(s *stage) { grow(s, "left") }, func(s *stage) {
		common := s.log.Size() - 2
		s.log.Become(forked(s, common, func(o *stage) { grow(o, "right") }))
	}},
	// Of what is only old nobody is told for an hour: a cache can show it.
	{"it goes back, and goes on from there", audit.Fork, nil, func(s *stage) {
		common := s.log.Size() - 1
		s.log.Serve(s.log.Checkpoint(common, 2))
		time.Sleep(staleFor)
		s.log.Become(forked(s, common, func(o *stage) { grow(o, "after the backup"); grow(o, "and more") }))
	}},
	{"it is empty, and begins anew", audit.Fork, func(s *stage) { grow(s, "lost") }, func(s *stage) {
		common := s.log.Size() - 2
		s.log.Serve(s.log.Checkpoint(0, 2))
		time.Sleep(staleFor)
		s.log.Become(forked(s, common, func(o *stage) { grow(o, "for the second time") }))
	}},
	{"a witness was shown another tree", audit.Fork, nil, func(s *stage) {
		common := s.log.Size() - 1
		s.show(0, forked(s, common, func(o *stage) { grow(o, "for one customer") }).Checkpoint(common+1, 1))
	}},
	{"a witness was shown another larger tree, and the log grows", audit.Fork, nil, func(s *stage) {
		common := s.log.Size()
		other := forked(s, common, func(o *stage) { grow(o, "for one customer") })
		s.show(1, other.Checkpoint(common+1, 2))
		grow(s, "for everybody")
	}},
	{"two witnesses were shown two trees", audit.Fork, nil, func(s *stage) {
		common := s.log.Size() - 1
		s.show(0, s.log.Checkpoint(s.log.Size(), 1))
		s.show(1, forked(s, common, func(o *stage) { grow(o, "for one customer") }).Checkpoint(common+1, 0))
	}},

	// It serves other bytes than it signed.
	{"an entry that is not what was signed", audit.RootMismatch, nil, func(s *stage) {
		size := s.log.Size()
		s.log.Spoil(fmt.Sprintf("tile/entries/000.p/%d", size+1), audittest.Flip(9, 10))
		grow(s, "more")
	}},
	{"a root that is not the entries'", audit.RootMismatch, nil, func(s *stage) {
		text := proofs.Checkpoint{Origin: s.log.Signer.Key().Name(), Tree: proofs.Tree{N: s.log.Size() + 1, Hash: proofs.Hash{1}}}.String()
		s.release("app.bin", "more")
		s.log.Serve(s.sealed(text, append([]*proofs.Signer{s.log.Signer}, s.log.Witnesses...)...))
	}},
	{"a tile with another hash", audit.TileMismatch, nil, func(s *stage) {
		size := s.log.Size()
		s.log.Spoil(fmt.Sprintf("tile/0/000.p/%d", size+1), audittest.Flip(1, 2))
		grow(s, "more")
	}},
	{"a file with other bytes", audit.BlobMismatch, nil, func(s *stage) {
		s.sign("app.bin", "more")
		s.log.Spoil(audittest.BlobPath(s.file(tuf.RoleTargets)), audittest.Flip(1, 2))
		s.submit(tuf.RoleTargets)
		s.log.Publish(2)
	}},
	{"a signature of the log that fails", audit.BadSignature, nil, func(s *stage) {
		s.release("app.bin", "more")
		note, err := proofs.ParseNote(s.log.Checkpoint(s.log.Size(), 2))
		s.must(err)
		note.Signatures[0].Sig[10] ^= 1
		s.log.Serve(note.Marshal())
	}},

	// It admits what the rules do not.
	{"an entry that is not a leaf", audit.BadLeaf, nil, func(s *stage) {
		s.log.Append([]byte("no leaf"))
		s.log.Publish(2)
	}},
	{"an entry twice", audit.Duplicate, nil, func(s *stage) {
		s.force(tuf.RoleTargets, func(*leaf.Leaf) {})
		s.log.Publish(2)
	}},
	admission("a release of another repository", func(s *stage) {
		other := s.stranger(5)
		_, file := other.File(tuf.RoleTargets)
		s.raw(tuf.RoleTargets, file, s.file(tuf.RoleSnapshot))
	}),
	admission("a release that its snapshot does not list", func(s *stage) {
		snapshot := s.file(tuf.RoleSnapshot)
		s.sign("app.bin", "five")
		s.raw(tuf.RoleTargets, s.file(tuf.RoleTargets), snapshot)
	}),
	admission("a second payload as a release", func(s *stage) {
		evil := s.twin()
		s.release("app.bin", "five")
		s.as(evil, func() {
			s.sign("app.bin", "another five")
			s.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Release, 0 })
		})
	}),
	admission("a role to which nobody delegates", func(s *stage) {
		s.must(s.vendor.Delegate(tuf.RoleTargets, "doi", "doi/*"))
		s.must(s.vendor.Release(tuf.RoleTargets, "doi"))
		s.raw("doi", s.file("doi"), s.file(tuf.RoleSnapshot))
	}),
	admission("evidence that nobody signed", func(s *stage) {
		file := bytes.ReplaceAll(s.file(tuf.RoleTargets), []byte(`"version":4`), []byte(`"version":3`))
		m := audittest.Parse(s.t, file)
		s.log.Append(leaf.Leaf{Kind: leaf.Evidence, Repository: s.repo, Role: tuf.RoleTargets, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
			Size: int64(len(file)), Encoding: tuf.JSON, Contradicts: 3, Snapshot: tuf.Sum(s.file(tuf.RoleSnapshot)), Listed: leaf.ByHash}.Marshal(), file, s.file(tuf.RoleSnapshot))
	}),
	admission("a first root that does not meet its own threshold", func(s *stage) {
		_, file := s.stranger(0).File(tuf.RoleRoot)
		file = bytes.ReplaceAll(file, []byte(`"sig":"`), []byte(`"sig":"00`))
		m := audittest.Parse(s.t, file)
		s.log.Append(leaf.Leaf{Kind: leaf.Release, Repository: m.PayloadDigest, Role: tuf.RoleRoot, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
			Size: int64(len(file)), Encoding: tuf.JSON}.Marshal(), file)
	}),
	admission("a root that the keys before it did not sign", func(s *stage) {
		other := s.stranger(0)
		s.must(other.Rotate(tuf.RoleTargets))
		s.must(other.Rotate(tuf.RoleTargets))
		_, file := other.File(tuf.RoleRoot)
		s.raw(tuf.RoleRoot, file, nil)
	}),
	logged("a leaf of a kind that nobody knows", audit.UnknownLeaf, nil, func(s *stage) {
		s.log.Append([]byte("tuflog motto v1\nsays nothing yet\n"))
	}),

	// A vendor, or the thief of his keys, signs twice.
	logged("a second payload of targets", audit.SecondPayload, nil, func(s *stage) {
		evil := s.twin()
		s.release("app.bin", "five")
		s.as(evil, func() { s.release("app.bin", "another five") })
	}),
	logged("a second payload of an old version", audit.SecondPayload, func(s *stage) {
		s.kept = s.twin()
		s.release("app.bin", "five")
		s.release("app.bin", "six")
		s.log.Publish(2)
	}, func(s *stage) { s.as(s.kept, func() { s.release("app.bin", "another five") }) }),
	logged("a second payload of a delegated role", audit.SecondPayload, func(s *stage) {
		s.kept = s.twin()
		s.must(s.vendor.Put("plugin", "plugin/one", []byte("a newer plugin")))
		s.must(s.vendor.Release("plugin"))
		s.submit("plugin")
		s.log.Publish(2)
	}, func(s *stage) {
		s.as(s.kept, func() {
			s.must(s.vendor.Put("plugin", "plugin/one", []byte("a bad plugin")))
			s.must(s.vendor.Release("plugin"))
			s.submit("plugin")
		})
	}),
	logged("a second root", audit.SecondPayload, func(s *stage) {
		s.kept = s.twin()
		s.must(s.vendor.Rotate(tuf.RoleTargets))
		s.submit(tuf.RoleRoot)
		s.log.Publish(2)
	}, func(s *stage) {
		s.as(s.kept, func() {
			s.must(s.vendor.Rotate(tuf.RoleSnapshot))
			s.submit(tuf.RoleRoot)
		})
	}),

	// A release that the vendor did not announce.
	logged("a version that was not announced", audit.UnexpectedRelease, expecting, func(s *stage) { s.release("app.bin", "five") }),
	logged("a file that was not announced", audit.UnexpectedRelease, func(s *stage) { s.expect(1, 5) }, func(s *stage) {
		s.must(s.vendor.Put(tuf.RoleTargets, "app.bin", []byte("five")))
		s.release("backdoor.bin", "and this")
	}),
	logged("other bytes than were announced", audit.UnexpectedRelease, func(s *stage) { s.expect(1, 5) }, func(s *stage) { s.release("app.bin", "another five") }),
	logged("a root that was not announced", audit.UnexpectedRelease, expecting, func(s *stage) {
		s.must(s.vendor.Rotate(tuf.RoleTargets))
		s.submit(tuf.RoleRoot)
	}),
	logged("a delegation that was not announced", audit.UnexpectedRelease, func(s *stage) { s.expect(1, 5) }, func(s *stage) {
		s.must(s.vendor.Put(tuf.RoleTargets, "app.bin", []byte("five")))
		s.must(s.vendor.Delegate(tuf.RoleTargets, "helper", "app.bin"))
		s.must(s.vendor.Release(tuf.RoleTargets))
		s.submit(tuf.RoleTargets)
	}),
	{"older expectations", audit.ExpectationsRolledBack, func(s *stage) { s.expect(2, 0) }, func(s *stage) { s.expect(1, 5) }},
	{"other expectations under one version", audit.ExpectationsRolledBack, expecting, func(s *stage) { s.expect(1, 5) }},

	// A repository serves what is not logged.
	{"a release that is not logged", audit.LiveUnlogged, asLive, func(s *stage) { s.sign("app.bin", "for one customer"); s.serve(s.vendor) }},
	{"another payload than the one that is logged", audit.LiveEquivocation, func(s *stage) {
		s.kept = s.twin()
		grow(s, "five")
		s.serve(s.vendor)
	}, func(s *stage) {
		s.as(s.kept, func() { s.sign("app.bin", "for one customer"); s.serve(s.vendor) })
	}},
	{"a root that is not logged", audit.LiveUnlogged, asLive, func(s *stage) {
		s.must(s.vendor.Rotate(tuf.RoleTargets))
		s.serve(s.vendor)
	}},
	{"a release that is not logged, at one of two places", audit.LiveUnlogged, func(s *stage) { s.serve(s.vendor); s.serveElsewhere(s.vendor) }, func(s *stage) {
		s.sign("app.bin", "for one customer")
		s.serveElsewhere(s.vendor)
	}},
	{"a delegated role that is not logged", audit.LiveUnlogged, asLive, func(s *stage) {
		s.must(s.vendor.Put("plugin", "plugin/one", []byte("for one customer")))
		s.must(s.vendor.Release("plugin"))
		s.serve(s.vendor)
	}},
	{"two payloads at two places, of which none is logged", audit.LiveUnlogged, func(s *stage) { s.serve(s.vendor); s.serveElsewhere(s.vendor) }, func(s *stage) {
		evil := s.twin()
		s.sign("app.bin", "for one customer")
		s.as(evil, func() { s.sign("app.bin", "for another"); s.serveElsewhere(s.vendor) })
		s.serve(s.vendor)
	}},
}

// stranger is another vendor, with some releases.
func (s *stage) stranger(releases int) *testvendor.Vendor {
	s.t.Helper()
	v, err := testvendor.New(time.Now().AddDate(10, 0, 0))
	s.must(err)
	for range releases {
		s.must(v.Release(tuf.RoleTargets))
	}
	return v
}

// sealed signs a text as log and witnesses do.
func (s *stage) sealed(text string, by ...*proofs.Signer) []byte {
	s.t.Helper()
	note := proofs.Note{Text: text}
	for _, signer := range by {
		sig, err := signer.Sign(text, s.log.Time)
		s.must(err)
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal()
}

// word is a name for a file or a table of the configuration.
func (sc *scene) word() string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, sc.name), "-")
}
