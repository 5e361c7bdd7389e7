package registry

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// paddedRoot is a root of so many bytes, signed by a key of its own.
func paddedRoot(t *testing.T, size int) *tuf.Metadata {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	role := `{"keyids":["k"],"threshold":1}`
	signed := fmt.Sprintf(`{"_type":"root","spec_version":"1.0.31","version":1,"expires":"2030-01-02T03:04:05Z","x":"%s","keys":{"k":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"%x"}}},"roles":{"root":%[3]s,"targets":%[3]s,"snapshot":%[3]s,"timestamp":%[3]s}}`,
		strings.Repeat("x", size), []byte(public), role)
	unsigned, err := tuf.ParseJSON([]byte(`{"signatures":[],"signed":` + signed + `}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signatures":[{"keyid":"k","sig":"%s"}],"signed":%s}`, hex.EncodeToString(ed25519.Sign(private, unsigned.Payload)), signed))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Repositories with large files take no more memory the more there are of them.
func TestCachedFilesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("fills what is kept of files")
	}
	const repositories, size = 60, 2 << 20
	blobs := mapBlobs{}
	r := New(blobs, &slowState{}, func() int64 { return 0 }, nil)
	junk, err := tuf.ParseJSON([]byte(`{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0.31","version":1,"expires":"2030-01-02T03:04:05Z","targets":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := range repositories {
		root := paddedRoot(t, size)
		blobs[root.FileDigest] = root.File
		genesis, err := admit.JudgeGenesis(root)
		if err != nil {
			t.Fatal(err)
		}
		judge, err := admit.NewRepository(genesis.Leaf, int64(i), blobs)
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		repo := r.keep(judge, nil)
		r.mu.Unlock()
		if _, err := r.Judge(t.Context(), repo, tuf.RoleTargets, junk, nil); !admit.IsRefused(err) {
			t.Fatalf("judged: %v", err)
		}
		cached := 0
		for _, repo := range r.repos {
			if repo.cached != repo.judge.Cached() {
				t.Fatalf("%d bytes are counted, %d kept", repo.cached, repo.judge.Cached())
			}
			cached += repo.cached
		}
		if cached != r.cached || cached > maxCached {
			t.Fatalf("%d repositories keep %d bytes, %d are counted", i+1, cached, r.cached)
		}
		if repo.cached == 0 {
			t.Fatal("what was just read is forgotten")
		}
	}
}
