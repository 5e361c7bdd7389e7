package leader_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
	"github.com/tuflog/tuflog/verify"
)

// A log takes Pigweed's metadata as the body of a request or in a tar, and answers with
// proofs of leaves that say so. It is the same after a start.
func TestPigweed(t *testing.T) {
	r := start(t, nil)
	root, targets := newPigweedFiles(t)
	genesis := r.post(t, "v1/repositories", root)
	m, err := pigweed.Parse(root(1))
	check(t, err)
	if len(genesis.Results) != 1 || genesis.Results[0].Status != api.StatusReleased || genesis.Results[0].File != "root.pb" || genesis.Repository != m.PayloadDigest.String() {
		t.Fatalf("registered: %+v", genesis)
	}
	metadata := "v1/repositories/" + genesis.Repository + "/metadata"
	one := r.post(t, metadata, targets)
	if len(one.Results) != 1 || one.Results[0].Status != api.StatusReleased || one.Results[0].File != "targets.pb" || one.Results[0].Index != 1 {
		t.Fatalf("submitted: %+v", one)
	}
	m, err = pigweed.Parse(targets(1))
	check(t, err)
	claim := verify.Claim{Repository: tuf.Sum(mustPayload(t, root(1))), Role: tuf.RoleTargets, Version: 1, Payload: m.PayloadDigest, Encoding: tuf.Pigweed}
	if _, err := verify.CheckSidecar([]byte(one.Results[0].Sidecar), claim, r.Policy); err != nil {
		t.Error(err)
	}
	claim.Encoding = tuf.JSON
	if _, err := verify.CheckSidecar([]byte(one.Results[0].Sidecar), claim, r.Policy); err == nil {
		t.Error("the proof is also about JSON")
	}

	res, err := r.client.Submit(t.Context(), genesis.Repository, []api.File{{Name: "3.root.pb", Data: root(3)}, {Name: "2.targets.pb", Data: targets(2)}, {Name: "1.targets.json", Data: targets(3)}})
	check(t, err)
	for i, want := range []string{"3.root.pb released 2", "2.targets.pb released 3", "1.targets.json refused -1"} {
		name, rest, _ := strings.Cut(want, " ")
		status, _, _ := strings.Cut(rest, " ")
		found := false
		for _, f := range res.Results {
			found = found || f.File == name && string(f.Status) == status
		}
		if !found {
			t.Errorf("%d: want %s among %+v", i, want, res.Results)
		}
	}
	// The client says by itself what a root is in.
	again, err := r.client.Register(t.Context(), root(1))
	check(t, err)
	if again.Results[0].Status != api.StatusLogged || again.Results[0].Index != 0 {
		t.Errorf("registered again: %+v", again)
	}
	r.close(t)
	r.open(t)
	if again := r.post(t, metadata, targets); again.Results[0].Status != api.StatusLogged || again.Results[0].Index != 1 {
		t.Errorf("after a start: %+v", again)
	}
	listed, err := r.client.Repositories(t.Context())
	check(t, err)
	if len(listed.Repositories) != 1 || listed.Repositories[0].Encoding != string(tuf.Pigweed) || listed.Repositories[0].Releases != 4 {
		t.Errorf("listed: %+v", listed.Repositories)
	}
	found, err := r.client.LookupPath(t.Context(), "app")
	check(t, err)
	if len(found.Targets) != 2 {
		t.Errorf("found by path: %+v", found)
	}
}

// newPigweedFiles signs roots and targets, the same ones for the same version.
func newPigweedFiles(t *testing.T) (root, targets func(version uint32) []byte) {
	t.Helper()
	by, err := testpigweed.NewKey()
	check(t, err)
	made := map[string]map[uint32][]byte{"root": {}, "targets": {}}
	keep := func(role string, sign func(uint32) ([]byte, error)) func(uint32) []byte {
		return func(version uint32) []byte {
			t.Helper()
			if made[role][version] == nil {
				file, err := sign(version)
				check(t, err)
				made[role][version] = file
			}
			return made[role][version]
		}
	}
	keys := []testpigweed.Key{by}
	return keep("root", func(v uint32) ([]byte, error) {
			return testpigweed.Root{Version: v, Root: keys, Targets: keys}.Sign(by)
		}), keep("targets", func(v uint32) ([]byte, error) {
			return testpigweed.Targets(v, map[string][]byte{"app": {byte(v)}}, by)
		})
}

func mustPayload(t *testing.T, file []byte) []byte {
	t.Helper()
	m, err := pigweed.Parse(file)
	check(t, err)
	return m.Payload
}

// post sends version 1 of a file as it is.
func (r *running) post(t *testing.T, path string, file func(uint32) []byte) *api.Result {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.http.URL+"/"+path, bytes.NewReader(file(1)))
	check(t, err)
	req.Header.Set("Content-Type", api.TypeProtobuf)
	req.Header.Set("Prefer", "wait=60")
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, b)
	}
	res := &api.Result{}
	check(t, json.Unmarshal(b, res))
	return res
}
