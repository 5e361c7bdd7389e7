package audit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// lie is a scene with a log that lies: how it does, and what must be found.
type lie struct {
	name  string
	do    func(h *history)   // before the auditor looks for the first time
	want  string             // kinds, without the history's own evidence and hygiene; empty: nothing, and the auditor vouches
	class audit.Class        // of the first
	says  string             // part of its sentence, or of that of a finding of hygiene
	then  []func(h *history) // before it looks again
}

// tell plays scenes over HTTP. Each must end in its findings, with evidence of what was
// signed, against the one who is to blame. In short mode nobody listens on a port, and lies
// that take a wire are left out.
func tell(t *testing.T, lies []lie) {
	t.Helper()
	accusations := accusations{dir: t.TempDir()}
	var mu sync.Mutex
	t.Run("scenes", func(t *testing.T) {
		for _, tt := range lies {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := newHistory(t)
				for _, f := range tt.play(t, h) {
					mu.Lock()
					accusations.add(t, h.Log, f)
					mu.Unlock()
				}
			})
		}
	})
	accusations.check(t)
}

// play plays a scene, and returns the findings that have their evidence in one file.
func (tt lie) play(t *testing.T, h *history) (accusing []audit.Finding) {
	t.Helper()
	dir := t.TempDir()
	tt.do(h)
	a := newAuditor(t, h.Log, func(c *audit.Config) {
		c.StateDir = dir
		if !testing.Short() {
			c.Source = h.overHTTP()
		}
	})
	_, stepErr := a.Step(t.Context())
	for _, then := range tt.then {
		then(h)
		_, stepErr = a.Step(t.Context())
	}
	r, err := a.Report(t.Context())
	var found []audit.Finding
	outage := false
	for _, f := range r.Findings {
		padded := f.Kind == audit.UnknownLeaf && strings.Contains(f.Sentence, padding)
		if (f.Kind != audit.SecondPayload || f.Index != leafEvidence) && !padded {
			found = append(found, f)
		}
		outage = outage || f.Class == audit.Outage
	}
	if (err != nil || stepErr != nil) && !outage {
		t.Errorf("%v, %v, and no finding says so", stepErr, err)
	}
	if got := kinds(found); got != tt.want {
		t.Fatalf("found %q, want %q\n%+v", got, tt.want, found)
	}
	if r.Vouches != (tt.want == "" && !r.Empty && r.Verdicts[audit.UnknownToUs] == 0) {
		t.Errorf("vouches: %v", r.Vouches)
	}
	if tt.want == "" {
		if !slices.ContainsFunc(found, func(f audit.Finding) bool { return strings.Contains(f.Sentence, tt.says) }) && tt.says != "" {
			t.Errorf("nothing says %q: %+v", tt.says, found)
		}
		return nil
	}
	found = slices.DeleteFunc(found, func(f audit.Finding) bool { return f.Class == audit.Hygiene })
	if found[0].Class != tt.class || !strings.Contains(found[0].Sentence, tt.says) {
		t.Errorf("%s: %s; want %s: …%s…", found[0].Class, found[0].Sentence, tt.class, tt.says)
	}
	for _, f := range found {
		if f.Class != audit.Tampering {
			continue
		}
		if len(f.Evidence) == 0 {
			t.Errorf("%s has no evidence", f.Kind)
		}
		checkEvidence(t, dir, f)
		switch f.Kind {
		case audit.Fork:
			checkFork(t, h, f)
		case audit.BadLeaf, audit.BehindEnd, audit.Duplicate, audit.FalseAdmission:
			var unproved *evidence.Unproved
			if _, err := evidence.Check(t.Context(), []byte(f.Evidence[0].Text), h.Signer.Key()); errors.As(err, &unproved) && len(accusing) > 0 {
				continue // it builds on a leaf that is accused, and says what is to be replayed
			}
			if s := prove(t, h.Log, f); !slices.Contains(s.Entries, f.Index) && s.Kind != evidence.BehindEnd {
				t.Errorf("%s, and the evidence: %s", f.Sentence, s.Sentence)
			}
			accusing = append(accusing, f)
		}
	}
	return accusing
}

// overHTTP serves the log, and the answers that take a wire.
func (h *history) overHTTP() audit.Source {
	h.T.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := h.wire.Load(strings.TrimPrefix(r.URL.Path, "/")); ok {
			answer.(http.HandlerFunc)(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	h.T.Cleanup(server.Close)
	s, err := source.NewHTTP(server.URL, &http.Client{Transport: impatient{}})
	must(h.T, err)
	return s
}

// impatient gives up on an answer when the server says that no more of it will come, so that
// nobody waits for a clock.
type impatient struct{}

const noMore = "No-More"

// RoundTrip implements http.RoundTripper.
func (impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && response.Header.Get(noMore) != "" {
		response.Body.Close()
		return nil, context.DeadlineExceeded
	}
	return response, err
}

// answer answers the requests for a path, over a wire.
func (h *history) answer(path string, answer http.HandlerFunc) { h.wire.Store(path, answer) }

// never begins an answer and does not go on.
func never(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(noMore, "true")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// endless answers without end.
func endless(w http.ResponseWriter, r *http.Request) {
	page := bytes.Repeat([]byte("more "), 1<<12)
	for r.Context().Err() == nil {
		if _, err := w.Write(page); err != nil {
			return
		}
	}
}

// bomb answers with little that unpacks to very much.
func bomb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	page := make([]byte, 1<<20)
	for r.Context().Err() == nil {
		if _, err := z.Write(page); err != nil {
			return
		}
	}
}

// broken breaks off an answer.
func broken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, "only this")
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

const (
	bundle9 = "tile/entries/000.p/9"
	tile9   = "tile/0/000.p/9"
	pack9   = "tile/files/000.p/9"
)

// note signs a text as log and witnesses do.
func (h *history) note(text string, by ...*proofs.Signer) []byte {
	h.T.Helper()
	note := proofs.Note{Text: text}
	for _, s := range by {
		sig, err := s.Sign(text, h.Time)
		must(h.T, err)
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal()
}

func (h *history) signers() []*proofs.Signer {
	return append([]*proofs.Signer{h.Signer}, h.Witnesses...)
}

func stranger(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	s, err := proofs.GenerateSigner(nil, name, alg)
	must(t, err)
	return s
}

// leftOut leaves scenes out in short mode.
func leftOut(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a second of processor time for scenes of a kind that TestTampering has")
	}
}

// grow logs a release and publishes it.
func (h *history) grow(content string) {
	h.T.Helper()
	h.release(tuf.RoleTargets, "app.bin", content)
	h.Publish(2)
}

// TestLiesOverTime has logs that show one thing and then another.
func TestLiesOverTime(t *testing.T) {
	leftOut(t)
	next := historySize
	tell(t, []lie{
		{"nothing", func(*history) {}, "", "", "", nil},
		{"it grows", func(*history) {}, "", "", "", []func(*history){func(h *history) { h.grow("5") }, func(h *history) { h.grow("6") }}},

		{"another tree of the same size", func(h *history) { h.grow("left") }, "fork@-1", audit.Tampering, "and with root", []func(*history){
			func(h *history) { h.turnInto(next, func(o *history) { o.grow("right") }) }}},
		{"a larger tree that does not begin with it", func(h *history) { h.grow("left") }, "fork@-1", audit.Tampering, "which does not begin with the first", []func(*history){
			func(h *history) { h.turnInto(next, func(o *history) { o.grow("right"); o.grow("right again") }) }}},
		{"a smaller tree", func(h *history) { h.grow("5") }, "rollback@-1", audit.Tampering, "of size 9 after one of size 10", []func(*history){
			func(h *history) { h.Serve(h.Checkpoint(int64(next), 2)) }}},
		{"a smaller tree, and then the right one", func(h *history) { h.grow("5") }, "", "", "", []func(*history){
			func(h *history) { h.Serve(h.Checkpoint(int64(next), 2)) }, func(h *history) { h.Publish(2) }}},
		{"an empty tree after one with entries", func(*history) {}, "rollback@-1", audit.Tampering, "of size 0 after one of size 9", []func(*history){
			func(h *history) { h.Serve(h.Checkpoint(0, 2)) }}},
		{"another smaller tree", func(h *history) { h.grow("left"); h.grow("left again") }, "fork@-1", audit.Tampering, "which does not begin with the first", []func(*history){
			func(h *history) { h.turnInto(next, func(o *history) { o.grow("right") }) }}},
		{"a tree that too few witnesses saw", func(h *history) {
			o := h.clone()
			o.grow("for one customer")
			h.Serve(o.Checkpoint(o.Size(), 0))
		}, "fork@-1", audit.Tampering, "the log signed two histories", []func(*history){func(h *history) { h.grow("for everybody") }}},

		{"an entry that changes when the bundle grows", func(*history) {}, "root-mismatch@0", audit.Tampering, "entry 0 is served with other bytes than before", []func(*history){
			func(h *history) {
				h.grow("5")
				h.Spoil("tile/entries/000.p/10", audittest.Flip(1, 20))
			}}},
		{"an entry that changes back", func(*history) {}, "", "", "", []func(*history){
			func(h *history) {
				h.grow("5")
				h.Spoil("tile/entries/000.p/10", audittest.Flip(1, 20))
			}, func(h *history) { h.Spoil("tile/entries/000.p/10", nil) }}},
		{"a file that is withheld and then given", func(h *history) { h.Spoil(audittest.BlobPath(h.file("plugin")), audittest.Missing) }, "", "", "", []func(*history){
			func(h *history) { h.Spoil(audittest.BlobPath(h.file("plugin")), nil) }}},
		{"a file that is withheld once the log has grown", func(*history) {}, "blob-missing@9", audit.Outage, "does not serve", []func(*history){
			func(h *history) {
				h.grow("5")
				h.Spoil(audittest.BlobPath(h.file(tuf.RoleTargets)), audittest.Missing)
			}}},
		{"a file that is wrong and then right", func(h *history) { h.Spoil(audittest.BlobPath(h.file("plugin")), audittest.Flip(1, 2)) }, "", "", "", []func(*history){
			func(h *history) { h.Spoil(audittest.BlobPath(h.file("plugin")), nil) }}},
		{"a bit of a full tile", func(h *history) {
			h.padded()
			h.Spoil("tile/0/000", audittest.Flip(1, 2))
		}, "tile-mismatch@0", audit.Tampering, "tile/0/000 does not hold", nil},
		{"a bit of a tile above", func(h *history) {
			h.padded()
			h.Spoil("tile/1/000.p/2", audittest.Flip(1, 2))
		}, "tile-mismatch@0", audit.Tampering, "tile/1/000.p/2 does not hold", nil},
		{"a bit of a full bundle", func(h *history) {
			h.padded()
			h.Spoil("tile/entries/000", audittest.Flip(1, 2))
		}, "root-mismatch@79", audit.Tampering, "is not the one whose hash the log signed", nil},
		{"a partial bundle that is gone, and its full one is there", func(h *history) {
			h.Serve(h.padded())
			h.pad(768)
			h.Spoil("tile/entries/002.p/88", audittest.Missing)
			h.Spoil("tile/0/002.p/88", audittest.Missing)
		}, "", "", "", nil},
		{"a full bundle that ends like the partial one and begins otherwise", func(h *history) {
			h.Serve(h.padded())
			h.pad(768)
			h.Spoil("tile/entries/002.p/88", audittest.Missing)
			h.Spoil("tile/entries/002", audittest.Flip(1, 30))
		}, "root-mismatch@520", audit.Tampering, "is not the one whose hash the log signed", nil},
		{"a full tile in the place of a partial one that is gone, with another hash", func(h *history) {
			h.Serve(h.padded())
			h.pad(768)
			h.Spoil("tile/0/002.p/88", audittest.Missing)
			h.Spoil("tile/0/002", audittest.Flip(1, 30))
		}, "tile-mismatch@512", audit.Tampering, "tile/0/002.p/88 does not hold", nil},
		{"a withheld file that would convict", func(h *history) {
			thief := newVendor(h.T)
			must(h.T, thief.Release(tuf.RoleTargets))
			_, file := thief.File(tuf.RoleTargets)
			h.raw(tuf.RoleTargets, 5, file, h.file(tuf.RoleSnapshot))
			h.Publish(2)
			h.Spoil(audittest.BlobPath(file), audittest.Missing)
			h.wire.Store("convicts", audittest.BlobPath(file))
		}, "false-admission@9", audit.Tampering, "should not be in the log", []func(*history){
			func(h *history) {
				path, _ := h.wire.Load("convicts")
				h.Spoil(path.(string), nil)
			}}},
		{"a tile that is withheld and then wrong", func(h *history) { h.Spoil(tile9, audittest.Missing) }, "tile-mismatch@0", audit.Tampering, tile9, []func(*history){
			func(h *history) { h.Spoil(tile9, audittest.Flip(1, 2)) }}},
		{"a log that says that it is new, after it had entries", func(*history) {}, "unreachable@-1", audit.Outage, "size 9 was verified, and now", []func(*history){
			func(h *history) {
				h.answer("checkpoint", status(http.StatusNotFound, `{"code":"nothing-published"}`))
			}}},
		{"an end that is taken back", func(h *history) {
			h.Append([]byte(leaf.End))
			h.Publish(2)
		}, "fork@-1", audit.Tampering, "the log signed two histories", []func(*history){
			func(h *history) { h.turnInto(next, func(o *history) { o.grow("5"); o.grow("6") }) }}},
	})
}

// padded makes the log 600 entries long, and returns its checkpoint.
func (h *history) padded() []byte {
	h.T.Helper()
	h.pad(600)
	h.Publish(2)
	return h.Checkpoint(600, 2)
}

// turnInto serves another history from now on, which begins like this one.
func (h *history) turnInto(common int, change func(o *history)) {
	h.T.Helper()
	o := &history{Log: h.Log.Beginning(int64(common)), vendor: h.vendor, repo: h.repo}
	fresh, err := h.vendor.Clone()
	must(h.T, err)
	o.vendor = fresh
	change(o)
	h.Become(o.Log)
}

// TestLiesOnTheWire has a server, or somebody on the way to it, that answers with something
// else than files. Where nothing was signed nobody is accused, unless a file is not the one
// whose hash is known.
func TestLiesOnTheWire(t *testing.T) {
	if testing.Short() {
		t.Skip("these lies take a wire, and seconds of waiting before a request is tried again")
	}
	// Files come in packs unless there are none.
	plugin := func(h *history) string {
		h.answer(pack9, status(http.StatusNotFound, "no packs"))
		return audittest.BlobPath(h.file("plugin"))
	}
	tell(t, []lie{
		{"a checkpoint without end", func(h *history) { h.answer("checkpoint", endless) }, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a checkpoint that never comes", func(h *history) { h.answer("checkpoint", never) }, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a checkpoint that breaks off", func(h *history) { h.answer("checkpoint", broken) }, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a checkpoint in a bomb", func(h *history) { h.answer("checkpoint", bomb) }, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"no checkpoint", func(h *history) { h.answer("checkpoint", status(http.StatusNotFound, "no")) }, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a checkpoint elsewhere", func(h *history) {
			h.answer("checkpoint", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) })
			h.answer("other", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(h.Checkpoint(h.Size(), 2)) })
		}, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a log that says that it is new", func(h *history) { h.answer("checkpoint", status(http.StatusNotFound, `{"code":"nothing-published"}`)) }, "", "", "", nil},

		{"entries without end", func(h *history) { h.answer(bundle9, endless) }, "root-mismatch@0", audit.Tampering, "does not hold 9 entries", nil},
		{"entries in a bomb", func(h *history) { h.answer(bundle9, bomb) }, "root-mismatch@0", audit.Tampering, "does not hold 9 entries", nil},
		{"entries that never come", func(h *history) { h.answer(bundle9, never) }, "unreachable@-1", audit.Outage, bundle9, nil},
		{"entries that break off", func(h *history) { h.answer(bundle9, broken) }, "unreachable@-1", audit.Outage, bundle9, nil},
		{"entries that are refused", func(h *history) { h.answer(bundle9, status(http.StatusForbidden, "not you")) }, "unreachable@-1", audit.Outage, bundle9, nil},
		{"a tile without end", func(h *history) { h.answer(tile9, endless) }, "tile-mismatch@0", audit.Tampering, tile9, nil},
		{"a tile that never comes", func(h *history) { h.answer(tile9, never) }, "unreachable@-1", audit.Outage, tile9, nil},
		{"a file without end", func(h *history) { h.answer(plugin(h), endless) }, "blob-mismatch@4", audit.Tampering, "is served with more than", nil},
		{"a file in a bomb", func(h *history) { h.answer(plugin(h), bomb) }, "blob-mismatch@4", audit.Tampering, "is served with more than", nil},
		{"a file that never comes", func(h *history) { h.answer(plugin(h), never) }, "unreachable@-1", audit.Outage, "blob", nil},
		{"an error page for a file", func(h *history) { h.answer(plugin(h), status(http.StatusOK, "<html>please log in</html>")) }, "blob-mismatch@4", audit.Tampering, "is served as", nil},
		{"a server that is busy", func(h *history) { h.answer(plugin(h), status(http.StatusServiceUnavailable, "later")) }, "unreachable@-1", audit.Outage, "blob", nil},
		{"a server that is busy, and then is not", func(h *history) { h.answer(plugin(h), status(http.StatusTooManyRequests, "later")) }, "", "", "", []func(*history){
			func(h *history) { h.wire.Delete(plugin(h)) }}},
		{"a pack without end", func(h *history) { h.answer(pack9, endless) }, "", "", "is served with more than", nil},
		{"a pack in a bomb", func(h *history) { h.answer(pack9, bomb) }, "", "", "is served with more than", nil},
		{"a pack that never comes", func(h *history) { h.answer(pack9, never) }, "", "", "", nil},
		{"a pack that breaks off", func(h *history) { h.answer(pack9, broken) }, "", "", "", nil},
		{"an error page for a pack", func(h *history) { h.answer(pack9, status(http.StatusOK, "<html>please log in</html>")) }, "", "", "is not the pack of its bundle", nil},
		{"a pack without end, and a wrong file", func(h *history) {
			h.answer(pack9, endless)
			h.Spoil(audittest.BlobPath(h.file("plugin")), audittest.Flip(1, 2))
		}, "blob-mismatch@4", audit.Tampering, "is served as", nil},
		{"a right pack, and a file that is wrong by itself", func(h *history) {
			h.answer(audittest.BlobPath(h.file("plugin")), status(http.StatusOK, "another file"))
		}, "", "", "", nil},
		{"a bundle that never comes, and then does", func(h *history) { h.answer(bundle9, never) }, "", "", "", []func(*history){
			func(h *history) { h.wire.Delete(bundle9) }}},
	})
}

// TestLiesInCheckpoints has checkpoints that say something else than the log's tree, or
// carry something else than the signatures of the policy's keys.
func TestLiesInCheckpoints(t *testing.T) {
	leftOut(t)
	text := func(h *history, size int64) string {
		note, err := proofs.ParseNote(h.Checkpoint(size, 0))
		must(h.T, err)
		return note.Text
	}
	tell(t, []lie{
		{"signatures of strangers", func(h *history) {
			h.Serve(h.note(text(h, h.Size()), append(h.signers(), stranger(h.T, "stranger.test", proofs.CosignatureV1))...))
		}, "", "", "", nil},
		{"signatures of strangers in the names of witnesses", func(h *history) {
			h.Serve(h.note(text(h, h.Size()), append(h.signers(), stranger(h.T, "w1.test", proofs.CosignatureV1), stranger(h.T, audittest.Origin, proofs.Ed25519))...))
		}, "", "", "", nil},
		{"a stranger in the log's name", func(h *history) {
			h.Serve(h.note(text(h, h.Size()), append(h.Witnesses, stranger(h.T, audittest.Origin, proofs.Ed25519))...))
		}, "unknown-log@-1", audit.Outage, "not signed by a known log", nil},
		{"strangers in the names of witnesses", func(h *history) {
			h.Serve(h.note(text(h, h.Size()), h.Signer, stranger(h.T, "w1.test", proofs.CosignatureV1), stranger(h.T, "w2.test", proofs.CosignatureV1)))
		}, "quorum-short@-1", audit.Outage, "missing w1, w2", nil},
		{"no signature of the log", func(h *history) { h.Serve(h.note(text(h, h.Size()), h.Witnesses...)) }, "unknown-log@-1", audit.Outage, "not signed by a known log", nil},
		{"a signature of the log that fails", func(h *history) {
			note, err := proofs.ParseNote(h.Checkpoint(h.Size(), 2))
			must(h.T, err)
			note.Signatures[0].Sig[10] ^= 1
			h.Serve(note.Marshal())
		}, "bad-signature@-1", audit.Tampering, "signature does not verify", nil},
		{"signatures of another text", func(h *history) {
			note, err := proofs.ParseNote(h.Checkpoint(h.Size(), 2))
			must(h.T, err)
			note.Text = text(h, h.Size()-1)
			h.Serve(note.Marshal())
		}, "bad-signature@-1", audit.Tampering, "signature does not verify", nil},
		{"another origin under the log's key", func(h *history) {
			h.Serve(h.note(strings.Replace(text(h, h.Size()), audittest.Origin, "log.test/other", 1), h.signers()...))
		}, "unknown-log@-1", audit.Outage, "", nil},
		{"a size with a leading zero", func(h *history) {
			h.Serve(h.note(strings.Replace(text(h, h.Size()), "\n9\n", "\n09\n", 1), h.signers()...))
		}, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a size below zero", func(h *history) {
			h.Serve(h.note(strings.Replace(text(h, h.Size()), "\n9\n", "\n-9\n", 1), h.signers()...))
		}, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a root of another length", func(h *history) {
			h.Serve(h.note(audittest.Origin+"\n9\nAAAA\n", h.signers()...))
		}, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"a root that is not the entries'", func(h *history) {
			h.Serve(h.note(proofs.Checkpoint{Origin: audittest.Origin, Tree: proofs.Tree{N: h.Size(), Hash: proofs.Hash{1}}}.String(), h.signers()...))
		}, "root-mismatch@-1", audit.Tampering, "the 9 entries served hash to root", nil},
		{"more entries than there are", func(h *history) {
			h.Serve(h.note(proofs.Checkpoint{Origin: audittest.Origin, Tree: proofs.Tree{N: 1 << 40, Hash: proofs.Hash{1}}}.String(), h.signers()...))
		}, "unreachable@-1", audit.Outage, "tile/entries/000", nil},
		{"a note that is too long", func(h *history) {
			h.Serve(append(h.Checkpoint(h.Size(), 2), bytes.Repeat([]byte("\u2014 a AAAAAAAA\n"), proofs.MaxNoteSize/16)...))
		}, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
		{"witnesses from the future", func(h *history) {
			h.Time += 40 * 365 * 24 * 3600
			h.Publish(2)
		}, "", "", "days ahead of this auditor's clock", nil},
		{"witnesses from the beginning of time", func(h *history) {
			h.Time = 1
			h.Publish(2)
		}, "", "", "days behind this auditor's clock", nil},
	})
}

// TestLiesOfAdmission has leaves that the rules do not give. The evidence convicts the log.
func TestLiesOfAdmission(t *testing.T) {
	leftOut(t)
	next := int64(historySize)
	admission := func(name, says string, do func(h *history)) lie {
		return lie{name, func(h *history) {
			do(h)
			h.Publish(2)
		}, fmt.Sprintf("false-admission@%d", next), audit.Tampering, says, nil}
	}
	released := func(h *history) { must(h.T, h.vendor.Release(tuf.RoleTargets)) }
	tell(t, []lie{
		admission("another file than the judged one", "lists another file", func(h *history) {
			released(h)
			other := append([]byte(" "), h.file(tuf.RoleTargets)...)
			h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Metadata, l.Size = tuf.Sum(other), int64(len(other)); l.Payload[3] ^= 1 })
			h.Keep(other)
		}),
		admission("listed by hash, where it is by version", "how its snapshot lists it is", func(h *history) {
			h.vendor.PlainSnapshots = true
			released(h)
			h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Listed = leaf.ByHash })
		}),
		admission("listed by version, where it is by hash", "how its snapshot lists it is", func(h *history) {
			released(h)
			h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Listed = leaf.ByVersion })
		}),
		admission("a snapshot that does not list it", "snapshot-needed", func(h *history) {
			snapshot := h.file(tuf.RoleSnapshot)
			released(h)
			h.raw(tuf.RoleTargets, 5, h.file(tuf.RoleTargets), snapshot)
		}),
		admission("a snapshot of another repository", "snapshot-needed", func(h *history) {
			released(h)
			other := newVendor(h.T)
			for range 5 {
				must(h.T, other.Release(tuf.RoleTargets))
			}
			_, snapshot := other.File(tuf.RoleSnapshot)
			h.raw(tuf.RoleTargets, 5, h.file(tuf.RoleTargets), snapshot)
		}),
		admission("a release of another repository", "threshold", func(h *history) {
			other := newVendor(h.T)
			for range 4 {
				must(h.T, other.Release(tuf.RoleTargets))
			}
			_, file := other.File(tuf.RoleTargets)
			h.raw(tuf.RoleTargets, audittest.Parse(h.T, file).Version, file, h.file(tuf.RoleSnapshot))
		}),
		admission("a key that was rotated away", "superseded", func(h *history) {
			old, err := h.vendor.Clone()
			must(h.T, err)
			must(h.T, h.vendor.Rotate(tuf.RoleTargets))
			h.submit(tuf.RoleRoot)
			h.vendor = old
			released(h)
			h.raw(tuf.RoleTargets, 5, h.file(tuf.RoleTargets), h.file(tuf.RoleSnapshot))
		}).at(next + 1),
		admission("a role to which nobody delegates", "not-delegated", func(h *history) {
			must(h.T, h.vendor.Delegate(tuf.RoleTargets, "doi", "doi/*"))
			must(h.T, h.vendor.Release(tuf.RoleTargets, "doi"))
			h.raw("doi", 1, h.file("doi"), h.file(tuf.RoleSnapshot))
		}),
		admission("a snapshot as targets", "", func(h *history) {
			released(h)
			h.raw(tuf.RoleTargets, audittest.Parse(h.T, h.file(tuf.RoleSnapshot)).Version, h.file(tuf.RoleSnapshot), h.file(tuf.RoleSnapshot))
		}),
		admission("a version below, with another payload, as a release", "its kind is release, the rules give evidence", func(h *history) {
			evil, err := h.vendor.Clone()
			must(h.T, err)
			h.grow("five")
			h.grow("six")
			h.vendor = evil
			must(h.T, evil.Put(tuf.RoleTargets, "app.bin", []byte("another five")))
			released(h)
			h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Release, 0 })
		}).at(next + 2),
		admission("evidence against a version that has one payload", "it is already logged at index 7", func(h *history) {
			h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Evidence, leafTargets3 })
		}).as(audit.Duplicate),
		admission("evidence that points elsewhere", "the index it contradicts is", func(h *history) {
			evil, err := h.vendor.Clone()
			must(h.T, err)
			h.grow("five")
			h.vendor = evil
			must(h.T, evil.Put(tuf.RoleTargets, "app.bin", []byte("another five")))
			released(h)
			h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Contradicts = leafTargets2 })
		}).at(next + 1),
		admission("evidence that nobody signed", "the rules refuse it", func(h *history) {
			file := bytes.ReplaceAll(h.file(tuf.RoleTargets), []byte(`"version":4`), []byte(`"version":3`))
			m := audittest.Parse(h.T, file)
			h.Append(leaf.Leaf{Kind: leaf.Evidence, Repository: h.repo, Role: tuf.RoleTargets, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
				Size: int64(len(file)), Encoding: tuf.JSON, Contradicts: leafTargets3, Snapshot: tuf.Sum(h.file(tuf.RoleSnapshot)), Listed: leaf.ByHash}.Marshal(), file, h.file(tuf.RoleSnapshot))
		}),
		admission("a first root that does not meet its own threshold", "threshold", func(h *history) {
			_, file := newVendor(h.T).File(tuf.RoleRoot)
			file = bytes.ReplaceAll(file, []byte(`"sig":"`), []byte(`"sig":"00`))
			m := audittest.Parse(h.T, file)
			h.Append(leaf.Leaf{Kind: leaf.Release, Repository: m.PayloadDigest, Role: tuf.RoleRoot, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
				Size: int64(len(file)), Encoding: tuf.JSON}.Marshal(), file)
		}),
		admission("one signature, where two are needed", "signed by 1 keys of the role, 2 needed", func(h *history) {
			m := madeIn(h.Log, func(m *made) { m.roles[tuf.RoleTargets], m.least[tuf.RoleTargets] = []string{"t", "u"}, 2 })
			m.targets("targets", 1, listing("a", target("1", nil)), "t", "u")
			body := listing("a", target("2", nil))
			body["_type"], body["version"] = "targets", 2
			file := m.sign(body, "t")
			m.files["targets"] = 2
			m.raw("targets", 2, file, m.snapshotFile(9, file, "targets"))
		}).at(next + 2),
		admission("one key under two ids, where two are needed", "signed by 1 keys of the role, 2 needed", func(h *history) {
			m := madeIn(h.Log, func(m *made) { m.roles[tuf.RoleTargets], m.least[tuf.RoleTargets] = []string{"t", "t#2", "u"}, 2 })
			body := listing("a", target("1", nil))
			body["_type"], body["version"] = "targets", 1
			file := m.sign(body, "t", "t#2")
			m.files["targets"] = 1
			m.raw("targets", 1, file, m.snapshotFile(9, file, "targets"))
		}).at(next + 1),
		admission("a root signed by its own keys alone", "does not meet the threshold of root 1", func(h *history) {
			m := madeIn(h.Log, nil)
			m.roles[tuf.RoleRoot] = []string{"thief"}
			file := m.rootFile(2, "thief")
			m.raw(tuf.RoleRoot, 2, file, nil)
		}).at(next + 1),
		admission("a root signed by the keys before it alone", "threshold", func(h *history) {
			m := madeIn(h.Log, nil)
			m.roles[tuf.RoleRoot] = []string{"q"}
			file := m.rootFile(2, "r")
			m.raw(tuf.RoleRoot, 2, file, nil)
		}).at(next + 1),
	})
}

// as makes the one finding of a scene another.
func (tt lie) as(kind audit.Kind) lie {
	_, index, _ := strings.Cut(tt.want, "@")
	tt.want = fmt.Sprintf("%s@%s", kind, index)
	return tt
}

// at moves the one finding of a scene.
func (tt lie) at(index int64) lie {
	kind, _, _ := strings.Cut(tt.want, "@")
	tt.want = fmt.Sprintf("%s@%d", kind, index)
	return tt
}

// raw logs a leaf for a file as if the rules gave it.
func (m *made) raw(role string, version int64, file, snapshot []byte) int64 {
	h := history{Log: m.Log, repo: m.repo}
	return h.raw(role, version, file, snapshot)
}
