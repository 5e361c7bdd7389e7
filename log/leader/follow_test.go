package leader_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/proofs"
)

// What a client was told by the leader it finds at the follower, at once and word
// for word.
func TestFollow(t *testing.T) {
	_, leader, follower := leaderAndFollower(t, nil)
	resp, body := follower.do(t, "GET", "/checkpoint", nil)
	problem(t, resp, body, 404, api.CodeUnpublished)
	follower.ready(t, 200)
	for n := range 4 {
		v := newVendor(t)
		id := leader.register(t, file(v, "root").Data)
		check(t, v.Put("targets", "app.bin", fmt.Appendf(nil, "version %d", n)))
		check(t, v.Release("targets"))
		results := leader.submit(t, id, all(v)...)
		index := results[len(results)-1].Index
		_, bundle := leader.do(t, "GET", fmt.Sprintf("/tile/entries/000.p/%d", index+1), nil)
		entries, err := proofs.ParseEntries(bundle)
		check(t, err)
		leaf, err := leaf.Parse(entries[index])
		check(t, err)
		for _, path := range []string{
			fmt.Sprintf("/tile/0/000.p/%d", index+1), fmt.Sprintf("/tile/entries/000.p/%d", index+1), fmt.Sprintf("/tile/files/000.p/%d", index+1),
			fmt.Sprintf("/v1/entries/%d/proof", index), fmt.Sprintf("/v1/entries/%d/files", index),
			"/blob/sha256/" + leaf.Metadata.String(), "/v1/lookup/sha256/" + leaf.Metadata.String(), "/v1/lookup/path/app.bin",
			"/v1/repositories", "/v1/repositories/" + id, "/v1/repositories/" + id + "/roles/targets", "/checkpoint", "/",
		} {
			// The follower first: it must not need the leader's help.
			resp, got := follower.do(t, "GET", path, nil, "Accept", "application/json")
			_, want := leader.do(t, "GET", path, nil, "Accept", "application/json")
			if resp.StatusCode != 200 || !bytes.Equal(got, want) {
				t.Errorf("GET %s: %d\n%s\nthe leader has\n%s", path, resp.StatusCode, got, want)
			}
		}
		stats, want := follower.front.Stats(t.Context()), leader.front.Stats(t.Context())
		if !stats.Ready || stats.Leading || !want.Leading || stats.Published != want.Published || stats.Signed != want.Published || stats.Integrated != want.Published {
			t.Errorf("the follower has %+v, the leader %+v", stats, want)
		}
	}
	// What is not published is nobody's business.
	size := leader.front.Stats(t.Context()).Published
	resp, body = follower.do(t, "GET", fmt.Sprintf("/tile/0/000.p/%d", size+1), nil)
	problem(t, resp, body, 404, api.CodeNotFound)
	resp, body = follower.do(t, "GET", fmt.Sprintf("/v1/entries/%d/proof", size), nil)
	problem(t, resp, body, 404, api.CodeNotFound)
}

// A derived state that is ahead of what is published, and a repository that
// has leaves there, look as they were.
func TestFollowOnlyWhatIsPublished(t *testing.T) {
	c, leader, follower := leaderAndFollower(t, nil)
	v := newVendor(t)
	id := leader.register(t, file(v, "root").Data)
	check(t, v.Release("targets"))
	leader.submit(t, id, all(v)...)
	paths := []string{"/v1/repositories", "/v1/repositories/" + id, "/v1/repositories/" + id + "/roles/targets"}
	var before [][]byte
	for _, path := range paths {
		_, body := follower.do(t, "GET", path, nil)
		before = append(before, body)
	}
	c.Witnesses.SetDown(true, true, true)
	check(t, v.Release("targets"))
	_, body := leader.do(t, "POST", "/v1/repositories/"+id+"/metadata", packed(t, all(v)...), "Content-Type", "application/x-tar", "Prefer", "wait=0")
	if !bytes.Contains(body, []byte("pending")) {
		t.Fatalf("below quorum: %s", body)
	}
	size := leader.front.Stats(t.Context()).Published
	eventually(t, "the state is ahead", func() bool {
		edge, err := c.state.Position(t.Context())
		check(t, err)
		return edge.Tree().N > size
	})
	follower.follower.Registry().Forget(nil) // or the answers would come from memory
	for i, path := range paths {
		if resp, body := follower.do(t, "GET", path, nil); resp.StatusCode != 200 || !bytes.Equal(body, before[i]) {
			t.Errorf("GET %s: %d\n%s\nbefore\n%s", path, resp.StatusCode, body, before[i])
		}
	}
	c.Witnesses.SetDown(false, false, false)
	eventually(t, "the next version is published", func() bool {
		_, body := follower.do(t, "GET", paths[2], nil)
		return bytes.Contains(body, []byte(`"version":3`))
	})
}

// A leader that is cut off from the database, and therefore leads no more, serves
// on what it has published: it does not go back.
func TestFollowContinues(t *testing.T) {
	c, leader, follower := leaderAndFollower(t, nil)
	leader.register(t, file(newVendor(t), "root").Data)
	before, err := c.checkpoints.Load(t.Context())
	check(t, err)
	c.checkpoints.set(before, errors.New("the network is down"))
	leader.register(t, file(newVendor(t), "root").Data)
	_, want := leader.do(t, "GET", "/checkpoint", nil)
	leader.depose()
	if _, body := leader.do(t, "GET", "/checkpoint", nil); bytes.Equal(want, before) || !bytes.Equal(body, want) {
		t.Errorf("it serves\n%s\nand had published\n%s", body, want)
	}
	c.checkpoints.set(want, nil)
	c.setLeader(follower.http.URL)
	follower.lead(t)
	follower.register(t, file(newVendor(t), "root").Data)
	eventually(t, "it follows again", func() bool {
		_, body := leader.do(t, "GET", "/checkpoint", nil)
		_, want := follower.do(t, "GET", "/checkpoint", nil)
		return bytes.Equal(body, want)
	})
	leader.ready(t, 200)
}

// A checkpoint that is smaller, forked, badly signed or not there is not served.
func TestFollowRefuses(t *testing.T) {
	c, leader, follower := leaderAndFollower(t, nil)
	for range 2 {
		leader.register(t, file(newVendor(t), "root").Data)
	}
	small, err := c.checkpoints.Load(t.Context())
	check(t, err)
	leader.register(t, file(newVendor(t), "root").Data)
	leader.depose()
	url, _ := breaking(t, func(http.ResponseWriter, *http.Request) {}) // it is ready
	c.setLeader(url)
	good, err := c.checkpoints.Load(t.Context())
	check(t, err)
	_, served := follower.do(t, "GET", "/checkpoint", nil)
	if !bytes.Equal(served, good) {
		t.Fatalf("the follower serves\n%s", served)
	}
	other := newCluster(t, nil) // another log, with other keys
	elsewhere := other.front(t)
	elsewhere.lead(t)
	elsewhere.register(t, file(newVendor(t), "root").Data)
	foreign, err := other.checkpoints.Load(t.Context())
	check(t, err)
	note, err := proofs.ParseNote(good)
	check(t, err)
	note.Signatures = note.Signatures[:2] // the log's and one witness's
	for _, tt := range []struct {
		what string
		note []byte
		fail error
		want string
	}{
		{"smaller", small, nil, "contradicts the one of size 3"},
		{"forked at its size", c.checkpoint(t, proofs.Tree{N: 3, Hash: proofs.LeafHash([]byte("x"))}), nil, "contradicts the one of size 3"},
		{"forked beyond it", c.checkpoint(t, c.fork(t, 5)), nil, "to the published checkpoint of size 5"},
		{"beyond the tiles", c.checkpoint(t, proofs.Tree{N: 9, Hash: proofs.LeafHash([]byte("x"))}), nil, "the tiles hold"},
		{"below quorum", note.Marshal(), nil, "is not served"},
		{"of another log", foreign, nil, "is not served"},
		{"rubbish", []byte("rubbish"), nil, "is not served"},
		{"gone", nil, nil, "is gone"},
		{"unreadable", good, errors.New("the disk is on fire"), "the disk is on fire"},
	} {
		c.checkpoints.set(tt.note, tt.fail)
		if resp, body := follower.do(t, "GET", "/checkpoint", nil); resp.StatusCode != 200 || !bytes.Equal(body, good) {
			t.Errorf("%s: GET /checkpoint: %d\n%s", tt.what, resp.StatusCode, body)
		}
		resp, body := follower.do(t, "GET", "/readyz", nil)
		if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, tt.want) {
			t.Errorf("%s: %s; want %q", tt.what, p.Detail, tt.want)
		}
		c.checkpoints.set(good, nil)
		follower.do(t, "GET", "/checkpoint", nil)
		if resp, body := follower.do(t, "GET", "/readyz", nil); resp.StatusCode != 200 {
			t.Errorf("after %s: %d %s", tt.what, resp.StatusCode, body)
		}
	}
	// One that is started then knows that there is a checkpoint; only its keys may be wrong.
	for _, tt := range []struct {
		note []byte
		keys bool
	}{{foreign, true}, {note.Marshal(), false}, {good, false}} {
		c.checkpoints.set(tt.note, nil)
		late := c.front(t)
		resp, body := late.do(t, "GET", "/checkpoint", nil)
		if bytes.Equal(tt.note, good) {
			if resp.StatusCode != 200 {
				t.Errorf("started then: %d %s", resp.StatusCode, body)
			}
		} else if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, "is not served") {
			t.Errorf("started then: %s", p.Detail)
		}
		if err := late.follower.Keyless(); (err != nil) != tt.keys {
			t.Errorf("its keys: %v, want %v", err, tt.keys)
		}
	}
	// A history that was written anew, tiles and all.
	c.Storage.Replace(1, []byte("something else"))
	tree, err := c.Storage.Integrated(t.Context())
	check(t, err)
	c.checkpoints.set(c.checkpoint(t, tree), nil)
	if _, body := follower.do(t, "GET", "/checkpoint", nil); !bytes.Equal(body, good) {
		t.Errorf("the follower serves another history:\n%s", body)
	}
	resp, body := follower.do(t, "GET", "/readyz", nil)
	if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, "contradicts the one of size 3") {
		t.Errorf("a history written anew: %s", p.Detail)
	}
}

// fork grows the storage to n entries and returns another tree of that size.
func (c *shared) fork(t *testing.T, n int) proofs.Tree {
	t.Helper()
	for len(c.Storage.Entries()) < n {
		c.Append(1)
	}
	var edge proofs.Edge
	for i := range n {
		check(t, edge.Append(proofs.LeafHash(fmt.Appendf(nil, "forged %d", i))))
	}
	return edge.Tree()
}

// checkpoint makes one of any tree, signed by the log and all witnesses.
func (c *shared) checkpoint(t *testing.T, tree proofs.Tree) []byte {
	t.Helper()
	text := proofs.Checkpoint{Origin: "log.example", Tree: tree}.String()
	note := proofs.Note{Text: text}
	signers := []log.Signer{c.Cfg.Signer}
	for _, w := range c.Fixture.Witnesses.All {
		signers = append(signers, w.Signer)
	}
	for _, s := range signers {
		sig, err := s.Sign(text, 1700000000)
		check(t, err)
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal()
}

func TestFollowNeedsKeys(t *testing.T) {
	c := newCluster(t, nil)
	cfg := c.following()
	policy, err := proofs.ParsePolicy([]byte("quorum none\n"))
	check(t, err)
	cfg.Policy = policy
	if _, err := follower.Open(t.Context(), cfg); err == nil {
		t.Error("followed a log of which no key is known")
	}
	cfg.Keys = []proofs.Key{logtest.NewSigner(t, "other.example", proofs.Ed25519).Key()}
	cfg.Policy = c.Policy
	if _, err := follower.Open(t.Context(), cfg); err == nil {
		t.Error("followed a log that is not the policy's")
	}
}

// A front end whose log had to stop says so and serves on what is published.
func TestFollowHalted(t *testing.T) {
	_, leader, follower := leaderAndFollower(t, nil)
	leader.register(t, file(newVendor(t), "root").Data)
	// When it has looked again it says what it has found then.
	follower.follower.Halt(&log.Halt{Code: log.HaltStorageBehind, What: "something was wrong before", Do: "Look"})
	follower.follower.Halt(&log.Halt{Code: log.HaltForeignEntry, What: "something is wrong", Do: "Look"})
	leader.register(t, file(newVendor(t), "root").Data)
	_, want := leader.do(t, "GET", "/checkpoint", nil)
	if _, got := follower.do(t, "GET", "/checkpoint", nil); !bytes.Equal(got, want) {
		t.Errorf("a halted follower serves\n%s", got)
	}
	resp, body := follower.do(t, "GET", "/readyz", nil)
	if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, "something is wrong") {
		t.Errorf("/readyz: %s", p.Detail)
	}
	if st := follower.front.Stats(t.Context()); !st.Halted || st.Ready {
		t.Errorf("%+v", st)
	}
}

// A checkpoint makes a follower forget the repositories that have grown, and only
// those: lists of thousands are answered from memory.
func TestFollowForgetsWhatHasChanged(t *testing.T) {
	c, leader, follower := leaderAndFollower(t, nil)
	first, second := newVendor(t), newVendor(t)
	ids := []string{leader.register(t, file(first, "root").Data), leader.register(t, file(second, "root").Data)}
	follower.do(t, "GET", "/v1/repositories", nil)
	if n := follower.follower.Registry().Loaded(); n != 2 {
		t.Fatalf("%d repositories in memory", n)
	}
	check(t, first.Release("targets"))
	leader.submit(t, ids[0], all(first)...)
	size := leader.front.Stats(t.Context()).Published
	follower.do(t, "GET", "/checkpoint", nil)
	if n := follower.follower.Registry().Loaded(); n != 1 {
		t.Errorf("%d repositories in memory after one has grown", n)
	}
	// One that was loaded when the state lagged behind is loaded again later.
	for range 20 {
		check(t, errors.Join(first.Release("targets"), second.Release("targets")))
		leader.submit(t, ids[0], all(first)...)
		leader.submit(t, ids[1], all(second)...)
		_, role := follower.do(t, "GET", "/v1/repositories/"+ids[0]+"/roles/targets", nil)
		_, want := leader.do(t, "GET", "/v1/repositories/"+ids[0]+"/roles/targets", nil)
		if !bytes.Equal(role, want) {
			t.Errorf("the follower says\n%s\nthe leader\n%s", role, want)
		}
	}
	if edge, err := c.state.Position(t.Context()); err != nil || edge.Tree().N <= size {
		t.Errorf("the state did not move: %v", err)
	}
}
