package leader_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/proofs"
)

// The audited checkpoint is served beside the newest one, with proofs of what it includes, by
// the front end that leads and by one that follows.
func TestAuditedIsServed(t *testing.T) {
	auditor := logtest.NewSigner(t, "auditor.example", proofs.CosignatureV1)
	now := time.Unix(1700000000, 0) // when the witnesses cosign
	var shows []byte                // with the log's and the witnesses' signatures
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shows == nil {
			http.NotFound(w, r)
			return
		}
		note, err := proofs.ParseNote(shows)
		check(t, err)
		sig, err := auditor.Sign(note.Text, 1700000000)
		check(t, err)
		note.Signatures = append(note.Signatures, sig)
		_, _ = w.Write(note.Marshal())
	}))
	t.Cleanup(at.Close)
	c := newCluster(t, nil)
	text, _, _ := strings.Cut(string(c.Policy.Marshal()), "quorum")
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "%switness a %v %s\ngroup auditors any a\ngroup devices all all auditors\nquorum devices\n", text, auditor.Key(), at.URL))
	check(t, err)
	keeper, err := audited.Open(audited.Config{
		Policies: audited.Policies{Audited: policy, Published: c.Policy},
		Keys:     []proofs.Key{c.Cfg.Signer.Key()}, Path: filepath.Join(t.TempDir(), "audited"),
		Now: func() time.Time { return now },
	})
	check(t, err)
	c.change = func(cfg *leader.Config) { cfg.Audited = keeper }
	r, follows := c.front(t), c.front(t)
	r.lead(t)
	look := func() {
		now = now.Add(time.Minute)
		follows.follower.Renew(t.Context())
		keeper.Look(t.Context(), follows.follower.Board())
	}

	notYet := func(path string, retry bool, words string) {
		t.Helper()
		resp, body := r.do(t, "GET", path, nil)
		if other, _ := follows.do(t, "GET", path, nil); other.StatusCode != resp.StatusCode {
			t.Errorf("GET %s: %d of the leader, %d of the follower", path, resp.StatusCode, other.StatusCode)
		}
		if resp.StatusCode != 404 || (resp.Header.Get("Retry-After") != "") != retry || !strings.Contains(string(body), words) {
			t.Errorf("GET %s: %d, Retry-After %q: %s", path, resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
	}
	page := func(f *frontEnd, html string) (about api.About) {
		t.Helper()
		_, body := f.do(t, "GET", "/", nil, "Accept", "application/json")
		check(t, json.Unmarshal(body, &about))
		if _, body = f.do(t, "GET", "/", nil); !strings.Contains(string(body), html) {
			t.Errorf("the page does not have %q: %s", html, body)
		}
		return about
	}
	look()
	notYet("/checkpoint/audited", true, api.CodeNotAudited)
	if got := page(r, "none yet: the auditors that this log asks").Audited; got == nil || got.Size != 0 || got.Cosigned != "" {
		t.Errorf("before the auditor has cosigned: %+v", got)
	}
	notYet("/v1/entries/0/proof?audited", false, api.CodeNotFound)
	r.register(t, file(newVendor(t), "root").Data)
	notYet("/v1/entries/0/proof?audited", true, "no checkpoint has been cosigned by the auditors yet")
	_, shows = r.do(t, "GET", "/checkpoint", nil)
	r.register(t, file(newVendor(t), "root").Data)
	look()
	if keeper.Newest().Tree.N != 1 {
		t.Fatalf("%+v", keeper.Health())
	}
	for _, f := range []*frontEnd{r, follows} {
		if got := page(f, `<dt>Audited checkpoint</dt><dd>1 entry, `).Audited; got == nil || got.Size != 1 || got.Cosigned != "2023-11-14T22:13:20Z" {
			t.Errorf("audited: %+v", got)
		}
		page(f, `<a href="checkpoint/audited">`)
	}
	notYet("/v1/entries/1/proof?audited", true, "the auditors have cosigned the first 1 entries so far")
	var problem *api.ProblemError
	if _, err := r.client.AuditedProof(t.Context(), 1); !errors.As(err, &problem) || problem.Code != api.CodeNotAudited {
		t.Errorf("%v", err)
	}
	note, err := r.client.AuditedCheckpoint(t.Context())
	check(t, err)
	if sc, err := policy.OpenCheckpoint(note); err != nil || sc.Tree.N != 1 {
		t.Errorf("%v, %v", sc, err)
	}
	sidecar, err := r.client.AuditedProof(t.Context(), 0)
	check(t, err)
	proof, err := proofs.ParseProof(sidecar)
	check(t, err)
	if sc, err := proof.Verify(policy, proof.Extra); err != nil || sc.Tree.N != 1 {
		t.Errorf("%v, %v", sc, err)
	}
	if _, at := follows.do(t, "GET", "/checkpoint/audited", nil); !bytes.Equal(at, note) {
		t.Errorf("the follower serves %s", at)
	}
	if _, at := follows.do(t, "GET", "/v1/entries/0/proof?audited", nil); !bytes.Equal(at, sidecar) {
		t.Errorf("the follower proves %s", at)
	}
	// The newest proof is of the larger tree, which no auditor has cosigned.
	newest, err := r.client.EntryProof(t.Context(), 0)
	check(t, err)
	proof, err = proofs.ParseProof(newest)
	check(t, err)
	var short *proofs.QuorumError
	if sc, err := proof.Verify(policy, proof.Extra); !errors.As(err, &short) || len(short.Auditors) != 1 || sc.Tree.N != 2 {
		t.Errorf("%v, %v", sc, err)
	}
}
