package leader_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/tuf"
)

// plainVendor is a vendor with one key for everything, who says what he signs to
// the byte.
type plainVendor struct {
	key  ed25519.PrivateKey
	root api.File
	id   tuf.Digest
}

func newPlainVendor(t testing.TB, name string) *plainVendor {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	v := &plainVendor{key: ed25519.NewKeyFromSeed(seed[:])}
	const role = `{"keyids":["k"],"threshold":1}`
	v.root = v.file(t, "root", 1, fmt.Sprintf(`"keys":{"k":{"keytype":"ed25519","keyval":{"public":"%x"},"scheme":"ed25519"}},"roles":{"root":%[2]s,"snapshot":%[2]s,"targets":%[2]s,"timestamp":%[2]s}`,
		[]byte(v.key.Public().(ed25519.PublicKey)), role))
	m, err := tuf.ParseJSON(v.root.Data)
	check(t, err)
	v.id = m.PayloadDigest
	return v
}

// unsigned is metadata that nobody has signed.
func unsigned(typ string, version int64, rest string) api.File {
	return api.File{
		Name: fmt.Sprintf("%d.%s.json", version, typ),
		Data: fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":%q,"spec_version":"1.0.31","version":%d,"expires":"2030-01-02T03:04:05Z",%s}}`, typ, version, rest),
	}
}

func (v *plainVendor) file(t testing.TB, typ string, version int64, rest string) api.File {
	t.Helper()
	f := unsigned(typ, version, rest)
	m, err := tuf.ParseJSON(f.Data)
	check(t, err)
	signature := fmt.Sprintf(`"signatures":[{"keyid":"k","sig":"%s"}]`, hex.EncodeToString(ed25519.Sign(v.key, m.Payload)))
	f.Data = []byte(strings.Replace(string(f.Data), `"signatures":[]`, signature, 1))
	return f
}

// listing is what targets metadata says of so many files.
func listing(files int) string {
	var b strings.Builder
	b.WriteString(`"targets":{`)
	for i := range files {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":{"hashes":{"sha256":"%064x"},"length":%d}`, i, i, i)
	}
	b.WriteByte('}')
	return b.String()
}

// release is targets metadata with so many files, and the snapshot beside it.
func (v *plainVendor) release(t testing.TB, version int64, files int) []api.File {
	t.Helper()
	return []api.File{
		v.file(t, "targets", version, listing(files)),
		v.file(t, "snapshot", version, fmt.Sprintf(`"meta":{"targets.json":{"version":%d}}`, version)),
	}
}

// history puts a vendor's root and so many releases into a log, as if they had been
// submitted, and opens the log again: what it knows of them it reads.
func (r *running) history(t testing.TB, v *plainVendor, releases int) {
	t.Helper()
	r.unjudged(t, v, releases)
	r.open(t)
	check(t, r.log.Publisher().WaitPublished(t.Context(), r.log.Publisher().Tree().N))
	r.close(t)
	r.open(t)
}

// unjudged closes a log and puts a vendor's root and so many releases behind what was
// signed.
func (r *running) unjudged(t testing.TB, v *plainVendor, releases int) {
	t.Helper()
	r.close(t)
	var entries, files [][]byte
	add := func(role string, f, snapshot api.File) {
		m, err := tuf.ParseJSON(f.Data)
		check(t, err)
		entry := leaf.Leaf{
			Kind: leaf.Release, Repository: v.id, Role: role, Version: m.Version,
			Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(f.Data)), Encoding: tuf.JSON,
		}
		if snapshot.Data != nil {
			entry.Snapshot, entry.Listed = tuf.Sum(snapshot.Data), leaf.ByVersion
			files = append(files, snapshot.Data)
		}
		entries, files = append(entries, entry.Marshal()), append(files, f.Data)
	}
	add("root", v.root, api.File{})
	for i := range releases {
		f := v.release(t, int64(i+1), 1)
		add("targets", f[0], f[1])
	}
	blobs, err := sqlite.OpenBlobs(filepath.Join(r.dir, "blobs.db"))
	check(t, err)
	check(t, errors.Join(blobs.Put(t.Context(), files), blobs.Close()))
	_, err = r.Storage.Append(t.Context(), entries)
	check(t, err)
}

// countingState counts the questions that judging asks of the state.
type countingState struct {
	log.State

	mu        sync.Mutex
	histories int           // repositories read whole
	asked     []tuf.Digest  // payloads of which leaves are looked for
	hold      chan struct{} // closed when such questions may be answered; nil: at once
	holdList  chan struct{} // closed when target files may be listed; nil: at once
}

func (s *countingState) List(ctx context.Context, leaves []log.StateLeaf, done func(int64)) error {
	s.mu.Lock()
	hold := s.holdList
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	return s.State.List(ctx, leaves, done)
}

func (s *countingState) wraps(state log.State) { s.State = state }

func (s *countingState) Tail(ctx context.Context, repository tuf.Digest, keep int) ([]admit.Record, map[string]int64, error) {
	s.mu.Lock()
	if keep > 1<<20 {
		s.histories++
	}
	s.mu.Unlock()
	return s.State.Tail(ctx, repository, keep)
}

func (s *countingState) Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error) {
	s.mu.Lock()
	s.asked = append(s.asked, payload)
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return s.State.Same(ctx, repository, role, version, payload)
}
