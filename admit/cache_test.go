package admit

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// noBlobs has nothing.
type noBlobs struct{}

func (noBlobs) Blob(context.Context, tuf.Digest) ([]byte, error) { return nil, errors.New("no blobs") }

// TestBounded fills everything that a Repository keeps of files.
func TestBounded(t *testing.T) {
	var c fileCache
	for i := range 1000 {
		c.put(cachedFile{cachedPart: cachedPart{file: tuf.Sum(fmt.Append(nil, i))}, size: maxCached / 10})
		if c.bytes > maxCached || c.used.Len() > 10 {
			t.Fatalf("%d files of %d bytes are kept", c.used.Len(), c.bytes)
		}
	}
	c.put(cachedFile{size: 3 * maxCached})
	if c.used.Len() != 1 || c.bytes != 3*maxCached {
		t.Errorf("beside a large file %d are kept, of %d bytes", c.used.Len()-1, c.bytes)
	}
	if _, ok := c.get(tuf.Digest{}, false); !ok {
		t.Error("the last file is not kept, however large")
	}
	c.put(cachedFile{cachedPart: cachedPart{file: tuf.Digest{1}}, size: 1})
	if c.used.Len() != 1 || c.bytes != 1 {
		t.Errorf("a large file outlives its time: %d bytes", c.bytes)
	}
	// What was used last stays.
	c = fileCache{}
	for i := range 100 {
		c.put(cachedFile{cachedPart: cachedPart{file: tuf.Digest{byte(i + 1)}}, size: maxCached / 4})
		if _, ok := c.get(tuf.Digest{1}, false); !ok {
			t.Fatalf("a file in constant use is dropped after %d others", i)
		}
	}

	var s signedCache
	for i := range 10_000 {
		m := &tuf.Metadata{FileDigest: tuf.Sum(fmt.Append(nil, i))}
		for j := range 100 {
			m.Signatures = append(m.Signatures, tuf.Signature{KeyID: fmt.Sprint(j)})
		}
		kept := s.file(m)
		if len(s.pending) > maxPending || len(kept.signatures) > 0 {
			t.Fatalf("%d summaries are kept, of one file %d signatures", len(s.pending), len(kept.signatures))
		}
	}
}

// TestApplyReadsNothing: a log is loaded without its blobs.
func TestApplyReadsNothing(t *testing.T) {
	genesis := leaf.Leaf{Kind: leaf.Release, Repository: tuf.Digest{1}, Payload: tuf.Digest{1}, Role: tuf.RoleRoot, Version: 1, Metadata: tuf.Digest{2}, Size: 1, Encoding: tuf.JSON}
	r, err := NewRepository(genesis, 0, noBlobs{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(10) {
		leaf := leaf.Leaf{Kind: leaf.Release, Repository: tuf.Digest{1}, Payload: tuf.Digest{9, byte(i)}, Role: tuf.RoleTargets, Version: i, Metadata: tuf.Digest{3, byte(i)}, Size: 1, Encoding: tuf.JSON}
		if err := r.Apply(i+1, leaf); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.Current(t.Context(), tuf.RoleTargets); err == nil {
		t.Error("without blobs it is known what is current")
	}
}

// The names of a file's bins may take thousands of times its size. A judgement keeps
// them, a file that waits to be judged does not.
func TestBinsAreKeptForTheJudgement(t *testing.T) {
	m, err := tuf.ParseJSON([]byte(`{"signatures":[],"signed":{"_type":"targets","delegations":{"keys":{},"succinct_roles":{"bit_length":8,"keyids":["k"],"name_prefix":"bin","threshold":1}},"expires":"2030-01-01T00:00:00Z","spec_version":"1.0.0","targets":{},"version":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	j := &judgement{m: m}
	again := j.delegates()
	if again == nil || again == m.Targets.Delegations || j.delegates() != again {
		t.Errorf("the judgement's delegations are %p, then %p, the file's %p", again, j.delegates(), m.Targets.Delegations)
	}
}
