package rekor_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// always answers every request in one way.
func always(answer func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
}

// Whatever an instance answers to a submission, the error says whose fault it is, and comes in time.
func TestBadAnswers(t *testing.T) {
	zeros := make([]byte, 64<<10)
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		want   error
	}{
		"refused": {func(w http.ResponseWriter, r *http.Request) {
			rekortest.Say(w, 400, map[string]any{"message": "no \x1b[31m" + strings.Repeat("x", 9999)})
		}, rekor.ErrRefused},
		"frozen": {func(w http.ResponseWriter, r *http.Request) {
			rekortest.Say(w, 405, map[string]any{"message": "log frozen"})
		}, rekor.ErrRefused},
		"broken":       {func(w http.ResponseWriter, r *http.Request) { rekortest.Say(w, 500, map[string]any{"message": "disk"}) }, rekor.ErrUnavailable},
		"busy":         {func(w http.ResponseWriter, r *http.Request) { rekortest.Say(w, 429, nil) }, rekor.ErrUnavailable},
		"nothing":      {func(w http.ResponseWriter, r *http.Request) { rekortest.Say(w, 201, nil) }, rekor.ErrMisbehaved},
		"empty object": {func(w http.ResponseWriter, r *http.Request) { rekortest.Say(w, 201, map[string]any{}) }, rekor.ErrMisbehaved},
		"null entry":   {func(w http.ResponseWriter, r *http.Request) { rekortest.Say(w, 201, map[string]any{"x": nil}) }, rekor.ErrMisbehaved},
		"array":        {func(w http.ResponseWriter, r *http.Request) { rekortest.Say(w, 201, []int{1}) }, rekor.ErrMisbehaved},
		"no content":   {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, rekor.ErrMisbehaved},
		"not JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			w.Write([]byte("{{{"))
		}, rekor.ErrMisbehaved},
		"deep JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			w.Write(bytes.Repeat([]byte("["), 100_000))
		}, rekor.ErrMisbehaved},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
		}, rekor.ErrMisbehaved},
		"redirect 303": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) }, rekor.ErrMisbehaved},
		"truncated": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(201)
			w.Write([]byte(`{"a":`))
		}, rekor.ErrUnavailable},
		"huge headers": {func(w http.ResponseWriter, r *http.Request) {
			for n := range 1000 {
				w.Header().Set(fmt.Sprint("X-", n), strings.Repeat("x", 1000))
			}
			rekortest.Say(w, 201, nil)
		}, rekor.ErrUnavailable},
		"gone": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, rekor.ErrUnavailable},
		"announced huge": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "99999999999")
			w.WriteHeader(201)
		}, fetch.ErrTooLarge},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			w.Write([]byte(`{"a":"`))
			for range 1 << 14 { // 1 GiB
				if _, err := w.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
					return
				}
			}
		}, fetch.ErrTooLarge},
		"gzip bomb": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(201)
			z := gzip.NewWriter(w)
			for range 1 << 10 {
				if _, err := z.Write(zeros); err != nil {
					return
				}
			}
		}, rekor.ErrMisbehaved},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, l *ledger) {
				v, i := newVendorlog(t), l.instance()
				l.Instead = always(c.answer)
				r, err := i.Submit(t.Context(), v.note(t, 1), v.key)
				if r != nil || err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%v, %v, want %v", r, err, c.want)
				}
				if err != nil && (len(err.Error()) > 2000 || strings.Contains(err.Error(), "\x1b")) {
					t.Errorf("an error of %d bytes: %.300q", len(err.Error()), err)
				}
			})
		})
	}
}

// An instance that never ends its answer is left when its time is over, and when the caller's is.
func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, done := newVendorlog(t), make(chan struct{})
		t.Cleanup(func() { close(done) })
		l.Instead = always(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			w.(http.Flusher).Flush()
			for {
				select {
				case <-done:
					return
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
					w.Write([]byte(" "))
					w.(http.Flusher).Flush()
				}
			}
		})
		cfg := l.Config()
		cfg.Timeout = 200 * time.Millisecond
		i, err := rekor.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); !errors.Is(err, rekor.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := l.instance().Submit(ctx, v.note(t, 1), v.key); !errors.Is(err, context.Canceled) || errors.Is(err, rekor.ErrUnavailable) || errors.Is(err, rekor.ErrMisbehaved) {
			t.Errorf("%v", err)
		}
	})
}

// A 409 is believed only if the entry that is there is the one that was submitted.
func TestConflictWithAnother(t *testing.T) {
	v := newVendorlog(t)
	t.Run("v1", func(t *testing.T) {
		l := newLedger(t, 1)
		if _, err := l.instance().Submit(t.Context(), v.note(t, 1), v.key); err != nil {
			t.Fatal(err)
		}
		l.Instead = always(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.Header().Set("Location", "http://169.254.169.254/api/v1/log/entries/"+l.UUID(0))
				rekortest.Say(w, 409, map[string]any{"code": 409, "message": "exists"})
				return
			}
			rekortest.Say(w, 200, l.EntryV1(0))
		})
		if r, err := l.instance().Submit(t.Context(), v.note(t, 2), v.key); !errors.Is(err, rekor.ErrMisbehaved) {
			t.Errorf("%v, %v", r, err)
		}
		if last := l.Asked[len(l.Asked)-1]; strings.HasSuffix(last, l.UUID(0)) {
			t.Errorf("it was led to %s", last)
		}
		l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			rekortest.Say(w, 409, map[string]any{})
			return true
		}
		if r, err := l.instance().Submit(t.Context(), v.note(t, 2), v.key); !errors.Is(err, rekor.ErrUnavailable) {
			t.Errorf("an entry that is not there: %v, %v", r, err)
		}
	})
	for index, want := range map[string]error{"0": rekor.ErrMisbehaved, "": rekor.ErrMisbehaved, "-1": rekor.ErrMisbehaved, "x": rekor.ErrMisbehaved, "9223372036854775808": rekor.ErrMisbehaved, "5": rekor.ErrUnavailable} {
		t.Run("v2 index "+index, func(t *testing.T) {
			l := newLedger(t, 2)
			if _, err := l.instance().Submit(t.Context(), v.note(t, 1), v.key); err != nil {
				t.Fatal(err)
			}
			l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				w.Header().Set("X-Log-Index", index)
				rekortest.Say(w, 409, map[string]any{})
				return true
			}
			cfg := l.Config()
			cfg.Timeout = 300 * time.Millisecond
			if index != "5" {
				cfg.Timeout = 0
			}
			i, err := rekor.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := i.Submit(t.Context(), v.note(t, 2), v.key); !errors.Is(err, want) {
				t.Errorf("%v, %v, want %v", r, err, want)
			}
		})
	}
}

// One submission makes one entry.
func TestTwoEntries(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil {
		t.Fatal(err)
	}
	l.Instead = always(func(w http.ResponseWriter, r *http.Request) {
		e := l.EntryV1(0).(map[string]any)
		rekortest.Say(w, 201, map[string]any{l.UUID(0): e[l.UUID(0)], strings.Repeat("0", 64): e[l.UUID(0)]})
	})
	if r, err := i.Submit(t.Context(), v.note(t, 1), v.key); !errors.Is(err, rekor.ErrMisbehaved) {
		t.Errorf("%v, %v", r, err)
	}
}

// What Rekor signs itself has to fit together, too.
func TestLiesOfV1(t *testing.T) {
	for name, lie := range map[string]func(l *ledger, e *models.LogEntryAnon, p *models.InclusionProof){
		"index in the shard":      func(_ *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) { *p.LogIndex++ },
		"index below the shard's": func(_ *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) { *e.LogIndex = 0 },
		"size":                    func(_ *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) { *p.TreeSize++ },
		"another checkpoint": func(l *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) {
			l.Leaves = append(l.Leaves, []byte("more"))
			*p.Checkpoint = l.CheckpointV1()
			l.Leaves = l.Leaves[:len(l.Leaves)-1]
		},
		"a checkpoint that another signed": func(l *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) {
			other := newLedger(l.t, 1)
			other.Leaves = l.Leaves
			*p.Checkpoint = other.CheckpointV1()
		},
		"a checkpoint in another spelling": func(_ *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) {
			*p.Checkpoint = strings.Replace(*p.Checkpoint, "\n4\n", "\n04\n", 1)
		},
		"no hashes": func(_ *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) { p.Hashes = []string{} },
		"many hashes": func(_ *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) {
			p.Hashes = slices.Repeat(p.Hashes, 999)
		},
		"root": func(_ *ledger, _ *models.LogEntryAnon, p *models.InclusionProof) {
			*p.RootHash = hex.EncodeToString(make([]byte, 32))
		},
		"another entry": func(l *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) {
			e.Body = l.entryBody(0)
		},
		"time":     func(_ *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) { *e.IntegratedTime = -1 },
		"far time": func(_ *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) { *e.IntegratedTime = 1 << 62 },
		"log":      func(_ *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) { *e.LogID = strings.Repeat("0", 64) },
		"body": func(_ *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) {
			e.Body = map[string]any{"kind": "hashedrekord"}
		},
		"empty body": func(_ *ledger, e *models.LogEntryAnon, _ *models.InclusionProof) { e.Body = "" },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, 1)
			v, i := newVendorlog(t), l.instance()
			for size := range int64(3) {
				if _, err := i.Submit(t.Context(), v.note(t, size+1), v.key); err != nil {
					t.Fatal(err)
				}
			}
			l.Before = func(e *models.LogEntryAnon, p *models.InclusionProof) { lie(l, e, p) }
			if r, err := i.Submit(t.Context(), v.note(t, 4), v.key); !errors.Is(err, rekor.ErrMisbehaved) && !errors.Is(err, rekor.ErrUnknownKey) {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

func (l *ledger) entryBody(n int) string {
	before := l.Before
	l.Before = nil
	defer func() { l.Before = before }()
	for _, e := range l.EntryV1(n).(map[string]any) {
		return e.(map[string]any)["body"].(string)
	}
	return ""
}

// A shard's index is below the log's where there were shards before.
func TestLaterShard(t *testing.T) {
	l := newLedger(t, 1)
	l.Skew = 4_163_431
	v := newVendorlog(t)
	r, err := l.instance().Submit(t.Context(), v.note(t, 1), v.key)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := r.Verify(v.key, l.Config().Keys); err != nil || a.LogIndex != l.Skew {
		t.Error(err)
	}
}

// Every value of an entry is replaced by others: the receipt is refused, or says the same.
func TestMangledEntries(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		var r *rekor.Receipt
		var err error
		for size := range int64(5) {
			if r, err = i.Submit(t.Context(), v.note(t, size+1), v.key); err != nil {
				t.Fatal(err)
			}
		}
		keys := l.Config().Keys
		want, err := r.Verify(v.key, keys)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		dec := json.NewDecoder(bytes.NewReader(r.Entry))
		dec.UseNumber()
		if err := dec.Decode(&tree); err != nil {
			t.Fatal(err)
		}
		// Nobody signs these, and nothing is read from them.
		free := map[string]bool{"/integratedTime": l.version == 2, "/inclusionPromise": l.version == 2, "/logId": l.version == 2, "/logId/keyId": l.version == 2, "/attestation": true, "/inclusionProof/checkpoint/canonicalization": true}
		tried := 0
		mangle(tree, "", func(path string) {
			tried++
			entry, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			bad := rekor.Receipt{Instance: "test", Version: l.version, Note: r.Note, Entry: entry}
			got, err := bad.Verify(v.key, keys)
			if err != nil {
				return
			}
			if !free[path] || got.Digest != want.Digest || got.LogIndex != want.LogIndex || !got.Time.Equal(want.Time) || got.UUID != want.UUID || got.LogID != want.LogID {
				t.Errorf("%s mangled verifies: %s", path, entry)
			}
		})
		if tried < 100 {
			t.Errorf("only %d manglings", tried)
		}
	})
}

// mangle replaces each value in a tree by each of others in turn, and puts it back.
func mangle(node any, path string, try func(path string)) {
	others := []any{nil, "", "x", "AAAA", -1, 0, 1e300, json.Number("9223372036854775807"), []any{}, map[string]any{}, []any{nil}, true, strings.Repeat("0", 64)}
	replace := func(path string, old any, set func(any)) {
		for _, other := range others {
			if fmt.Sprint(other) == fmt.Sprint(old) {
				continue
			}
			set(other)
			try(path)
		}
		set(old)
		mangle(old, path, try)
	}
	switch node := node.(type) {
	case map[string]any:
		for name, old := range node {
			delete(node, name)
			try(path + "/" + name)
			replace(path+"/"+name, old, func(v any) { node[name] = v })
		}
	case []any:
		for n, old := range node {
			replace(fmt.Sprintf("%s/%d", path, n), old, func(v any) { node[n] = v })
		}
	}
}

// A proof that fits trees of several sizes is of the one that Rekor's checkpoint has.
func TestSizeThatFits(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	for size := range int64(4) {
		if _, err := i.Submit(t.Context(), v.note(t, size+1), v.key); err != nil {
			t.Fatal(err)
		}
	}
	l.Before = func(_ *models.LogEntryAnon, p *models.InclusionProof) { *p.TreeSize = 3 }
	if r, err := i.Submit(t.Context(), v.note(t, 1), v.key); !errors.Is(err, rekor.ErrMisbehaved) || !strings.Contains(err.Error(), "size 4") {
		t.Errorf("%v, %v", r, err)
	}
}

// An instance is of one origin, if it is said which.
func TestOrigin(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v := newVendorlog(t)
		right := map[int][]string{1: {"", "rekor.example", fmt.Sprintf("rekor.example - %d", l.TreeID)}, 2: {"", rekortest.Host}}[l.version]
		for _, origin := range append(right, "rekor", "other.example") {
			cfg := l.Config()
			cfg.Origin = origin
			i, err := rekor.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, submitted := i.Submit(t.Context(), v.note(t, 1), v.key)
			_, followed := i.Follow(t.Context(), rekor.Position{})
			if slices.Contains(right, origin) {
				if submitted != nil || followed != nil {
					t.Errorf("origin %q: %v, %v", origin, submitted, followed)
				}
				continue
			}
			// It is most likely the configuration that is wrong, so nobody is accused.
			for _, err := range []error{submitted, followed} {
				var other *rekor.OriginError
				if errors.Is(err, rekor.ErrMisbehaved) || !errors.As(err, &other) || other.Want != origin || !slices.ContainsFunc(right, func(s string) bool { return s == other.Have }) {
					t.Errorf("origin %q: %v", origin, err)
				}
			}
		}
	})
}

// What Rekor v2 puts into its tree may be any combination of what it was given.
func TestMixedLeaves(t *testing.T) {
	l := newLedger(t, 2)
	v, other := newVendorlog(t), newVendorlog(t)
	note := v.note(t, 1)
	n, err := proofs.ParseNote(note)
	if err != nil {
		t.Fatal(err)
	}
	d, wrong, sig, der := digest(note), digest(v.note(t, 2)), n.Signatures[0].Sig, v.key.PublicKey()
	for name, leaf := range map[string][]byte{
		"another digest":   rekortest.LeafV2(wrong[:], sig, der),
		"a short digest":   rekortest.LeafV2(d[:31], sig, der),
		"another key":      rekortest.LeafV2(d[:], sig, other.key.PublicKey()),
		"another spelling": append([]byte(" "), rekortest.LeafV2(d[:], sig, der)...),
		"a member more":    bytes.Replace(rekortest.LeafV2(d[:], sig, der), []byte(`"spec":`), []byte(`"more":1,"spec":`), 1),
		"another hash":     bytes.Replace(rekortest.LeafV2(d[:], sig, der), []byte(`SHA2_256`), []byte(`SHA2_512`), 1),
		"another version":  bytes.Replace(rekortest.LeafV2(d[:], sig, der), []byte(`0.0.2`), []byte(`0.0.3`), 1),
	} {
		l.Leaves = nil
		l.Add([]byte("{}"))
		l.Add(leaf)
		entry, err := json.Marshal(l.EntryV2(1))
		if err != nil {
			t.Fatal(err)
		}
		r := rekor.Receipt{Instance: "test", Version: 2, Note: note, Entry: entry}
		if a, err := r.Verify(v.key, l.Config().Keys); err == nil {
			t.Errorf("%s: %v", name, a)
		}
		if anchors := found(t, l.instance(), v.key); len(anchors) > 0 {
			t.Errorf("%s: %d anchors", name, len(anchors))
		}
	}
	l.Leaves = nil
	l.Add(rekortest.LeafV2(d[:], sig, der))
	l.Bend = func(e map[string]any) { e["logId"] = map[string]any{"keyId": make([]byte, 32)} }
	entry, err := json.Marshal(l.EntryV2(0))
	if err != nil {
		t.Fatal(err)
	}
	r := rekor.Receipt{Instance: "test", Version: 2, Note: note, Entry: entry}
	if a, err := r.Verify(v.key, l.Config().Keys); err == nil {
		t.Errorf("the id of another key: %v", a)
	}
}

// Of what v1 lists under a key, other kinds are passed over; what is not as Rekor spells it is not.
func TestOtherLeavesOfV1(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil {
		t.Fatal(err)
	}
	l.Add(bytes.Replace(l.Leaves[0], []byte(`"kind":"hashedrekord"`), []byte(`"kind":"rekord"`), 1))
	l.Add(bytes.Replace(l.Leaves[0], []byte(`"0.0.1"`), []byte(`"0.0.9"`), 1))
	if anchors := found(t, i, v.key); len(anchors) != 1 {
		t.Errorf("%d anchors", len(anchors))
	}
	l.Add(append([]byte(" "), l.Leaves[0]...))
	l.Add(bytes.Replace(l.Leaves[0], []byte(`"spec":`), []byte(`"more":1,"spec":`), 1))
	good, bad := 0, 0
	for listed, err := range i.List(t.Context(), v.key, nil) {
		a := listed.Anchor
		if err == nil && a != nil {
			good++
		} else if errors.Is(err, rekor.ErrMisbehaved) {
			bad++
		}
	}
	if good != 1 || bad != 2 {
		t.Errorf("%d good, %d bad", good, bad)
	}
	// What is of another kind can be remembered as such by its leaf, so that leaf is compared.
	l.Set(func(l *rekortest.Ledger) {
		l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/log/entries/retrieve") {
				return false
			}
			rekortest.Say(w, 200, []any{map[string]any{l.UUID(0): l.EntryV1(1).(map[string]any)[l.UUID(1)]}})
			return true
		}
	})
	for listed, err := range i.List(t.Context(), v.key, nil) {
		if !errors.Is(err, rekor.ErrMisbehaved) {
			t.Errorf("%+v, %v", listed, err)
		}
	}
}

// Anyone can make entries. Above what is read of an index, it is said, and the instance not accused.
func TestTooManyListed(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	for _, n := range []int{rekor.MaxListed + 1, 2 * rekor.MaxListed} {
		l.Set(func(l *rekortest.Ledger) {
			l.Instead = func(w http.ResponseWriter, _ *http.Request) bool {
				ids := make([]string, n)
				for i := range ids {
					ids[i] = fmt.Sprintf("%064x", i)
				}
				rekortest.Say(w, 200, ids)
				return true
			}
		})
		for _, err := range i.List(t.Context(), v.key, nil) {
			if !errors.Is(err, rekor.ErrTooMany) || errors.Is(err, rekor.ErrMisbehaved) {
				t.Errorf("%d: %v", n, err)
			}
		}
	}
}

// The receipt of a note is not one of another, of another key or of another version.
func TestReceiptOfAnother(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		r, err := i.Submit(t.Context(), v.note(t, 1), v.key)
		if err != nil {
			t.Fatal(err)
		}
		keys := l.Config().Keys
		for name, bad := range map[string]rekor.Receipt{
			"another note":    {Instance: "test", Version: l.version, Note: v.note(t, 2), Entry: r.Entry},
			"no note":         {Instance: "test", Version: l.version, Entry: r.Entry},
			"another version": {Instance: "test", Version: 3 - l.version, Note: r.Note, Entry: r.Entry},
			"no version":      {Instance: "test", Note: r.Note, Entry: r.Entry},
			"no entry":        {Instance: "test", Version: l.version, Note: r.Note},
			"null":            {Instance: "test", Version: l.version, Note: r.Note, Entry: json.RawMessage("null")},
			"huge entry":      {Instance: "test", Version: l.version, Note: r.Note, Entry: append(bytes.Repeat([]byte(" "), 1<<20), r.Entry...)},
		} {
			if a, err := bad.Verify(v.key, keys); err == nil {
				t.Errorf("%s: %v", name, a)
			}
		}
		if _, err := r.Verify(newVendorlog(t).key, keys); err == nil {
			t.Error("a receipt of another log's key")
		}
		if _, err := r.Verify(proofs.Key{}, keys); err == nil {
			t.Error("a receipt of no key")
		}
		if _, err := r.Verify(v.key, []crypto.PublicKey{nil, "x"}); err == nil {
			t.Error("keys of rekor that are none")
		}
	})
}

func TestParseReceipt(t *testing.T) {
	l := newLedger(t, 2)
	v := newVendorlog(t)
	r, err := l.instance().Submit(t.Context(), v.note(t, 1), v.key)
	if err != nil {
		t.Fatal(err)
	}
	good := string(r.Marshal())
	for _, bad := range []string{
		"", "{}", "null", "[]", good + "\n", strings.TrimSuffix(good, "\n"), " " + good, good + good,
		strings.Replace(good, `"tuflog-anchor":1`, `"tuflog-anchor":2`, 1),
		strings.Replace(good, `"tuflog-anchor":1`, `"Tuflog-Anchor":1`, 1),
		strings.Replace(good, `"version":2`, `"version":3`, 1),
		strings.Replace(good, `"version":2`, `"version":2,"version":2`, 1),
		strings.Replace(good, `"version":2`, `"version":2,"more":2`, 1),
		strings.Replace(good, `"instance":"test"`, `"instance":"../test"`, 1),
		strings.Replace(good, `"entry":{`, `"entry":[{`, 1),
		strings.Replace(good, `"entry":{`, `"entry": {`, 1),
		`{"tuflog-anchor":1,"instance":"test","version":2,"note":"x","entry":null}` + "\n",
		`{"tuflog-anchor":1,"instance":"test","version":2,"note":"` + strings.Repeat("x", rekor.MaxReceiptSize) + `","entry":{}}` + "\n",
	} {
		if r, err := rekor.ParseReceipt([]byte(bad)); err == nil {
			t.Errorf("%.200q is %v", bad, r)
		}
	}
}
