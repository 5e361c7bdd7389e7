// Package audittest is a log for tests of auditors. It keeps everything in
// memory, admits by the rules or by force, and can spoil the files that it
// serves one by one. Its tree arithmetic is the slow and obvious one of RFC
// 6962, section 2.1, on purpose: the auditor's is different.
package audittest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Origin is the name of the log.
const Origin = "log.test/audit"

// Log is a log in memory with two witnesses, both required by its policy. It is
// an http.Handler.
type Log struct {
	T         testing.TB
	Signer    *proofs.Signer
	Witnesses []*proofs.Signer
	Time      int64 // of cosignatures: now

	mu      sync.Mutex
	entries [][]byte
	blobs   map[tuf.Digest][]byte
	repos   map[tuf.Digest]*admit.Repository
	served  []byte // the checkpoint
	spoilt  map[string]func([]byte) ([]byte, error)
	read    []string
}

// New returns an empty log, published.
func New(t testing.TB) *Log {
	t.Helper()
	return NewOf(t, Origin)
}

// NewOf is New for a log with another name.
func NewOf(t testing.TB, origin string) *Log {
	t.Helper()
	l := &Log{
		T: t, Time: time.Now().Unix(),
		blobs:  map[tuf.Digest][]byte{},
		repos:  map[tuf.Digest]*admit.Repository{},
		spoilt: map[string]func([]byte) ([]byte, error){},
	}
	l.Signer = l.newSigner(origin, proofs.Ed25519)
	for _, name := range []string{"w1.test", "w2.test"} {
		l.Witnesses = append(l.Witnesses, l.newSigner(name, proofs.CosignatureV1))
	}
	l.Publish(len(l.Witnesses))
	return l
}

func (l *Log) newSigner(name string, alg proofs.Algorithm) *proofs.Signer {
	l.T.Helper()
	s, err := proofs.GenerateSigner(nil, name, alg)
	if err != nil {
		l.T.Fatal(err)
	}
	return s
}

// PolicyText is the policy to audit the log by.
func (l *Log) PolicyText(url string) string {
	return strings.TrimRight(fmt.Sprintf("log %v %s", l.Signer.Key(), url), " ") + "\n" +
		fmt.Sprintf("witness w1 %v\nwitness w2 %v\ngroup both all w1 w2\nquorum both\n", l.Witnesses[0].Key(), l.Witnesses[1].Key())
}

// Policy is PolicyText, parsed.
func (l *Log) Policy() *proofs.Policy {
	l.T.Helper()
	p, err := proofs.ParsePolicy([]byte(l.PolicyText("")))
	if err != nil {
		l.T.Fatal(err)
	}
	return p
}

// Clone returns a log with the same keys and the same history, which can
// diverge. Its files are not spoilt.
func (l *Log) Clone() *Log {
	c := &Log{
		T: l.T, Signer: l.Signer, Witnesses: l.Witnesses, Time: l.Time,
		entries: append([][]byte(nil), l.entries...),
		blobs:   map[tuf.Digest][]byte{},
		repos:   map[tuf.Digest]*admit.Repository{},
		spoilt:  map[string]func([]byte) ([]byte, error){},
		served:  l.served,
	}
	for sum, b := range l.blobs {
		c.blobs[sum] = b
	}
	for id, repo := range l.repos {
		var err error
		for i, rec := range repo.Records() {
			if i == 0 {
				c.repos[id], err = admit.NewRepository(rec.Leaf, rec.Index, admissionBlobs{c})
			} else {
				err = c.repos[id].Apply(rec.Index, rec.Leaf)
			}
			if err != nil {
				l.T.Fatal(err)
			}
		}
	}
	return c
}

// Beginning returns a log with the same keys and the first entries of this one.
func (l *Log) Beginning(size int64) *Log {
	c := &Log{
		T: l.T, Signer: l.Signer, Witnesses: l.Witnesses, Time: l.Time,
		entries: slices.Clone(l.entries[:size]),
		blobs:   maps.Clone(l.blobs),
		repos:   map[tuf.Digest]*admit.Repository{},
		spoilt:  map[string]func([]byte) ([]byte, error){},
	}
	for i, entry := range c.entries {
		logged, err := leaf.Parse(entry)
		if err != nil {
			continue
		}
		if repo := c.repos[logged.Repository]; repo != nil {
			err = repo.Apply(int64(i), logged)
		} else {
			c.repos[logged.Repository], err = admit.NewRepository(logged, int64(i), admissionBlobs{c})
		}
		if err != nil {
			l.T.Fatal(err)
		}
	}
	return c
}

// Become serves what another log serves, from now on.
func (l *Log) Become(other *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.blobs, l.repos, l.served = other.entries, other.blobs, other.repos, other.served
}

// Parse reads a file of metadata.
func Parse(t testing.TB, file []byte) *tuf.Metadata {
	t.Helper()
	m, err := codec.ParseAny(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type admissionBlobs struct{ l *Log }

func (b admissionBlobs) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	if blob, ok := b.l.blobs[sum]; ok {
		return blob, nil
	}
	return nil, fmt.Errorf("no blob %v", sum)
}

// Register admits a root as the genesis of a repository.
func (l *Log) Register(root []byte) tuf.Digest {
	l.T.Helper()
	d, err := admit.JudgeGenesis(Parse(l.T, root))
	if err != nil {
		l.T.Fatal(err)
	}
	index := l.Append(d.Leaf.Marshal(), root)
	if l.repos[d.Leaf.Repository], err = admit.NewRepository(d.Leaf, index, admissionBlobs{l}); err != nil {
		l.T.Fatal(err)
	}
	return d.Leaf.Repository
}

// Submit admits a file by the rules and returns its leaf and index. A file that
// is already logged is not logged again.
func (l *Log) Submit(repo tuf.Digest, role string, file []byte, snapshots ...[]byte) (leaf.Leaf, int64) {
	l.T.Helper()
	d := l.Judge(repo, role, file, snapshots...)
	if d.Logged {
		return d.Leaf, d.Index
	}
	index := l.Append(d.Leaf.Marshal(), append(snapshots, file)...)
	if err := l.repos[repo].Apply(index, d.Leaf); err != nil {
		l.T.Fatal(err)
	}
	return d.Leaf, index
}

// Offer admits a file if the rules do, and returns their decision. The error wraps an
// *admit.Refused.
func (l *Log) Offer(repo tuf.Digest, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) (admit.Decision, error) {
	l.T.Helper()
	d, err := l.repos[repo].Judge(l.T.Context(), role, m, snapshots)
	if err != nil || d.Logged {
		return d, err
	}
	files := [][]byte{m.File}
	for _, s := range snapshots {
		if s.FileDigest == d.Leaf.Snapshot {
			files = append(files, s.File)
		}
	}
	d.Index = l.Append(d.Leaf.Marshal(), files...)
	return d, l.repos[repo].Apply(d.Index, d.Leaf)
}

// Judge returns the decision of the rules on a file.
func (l *Log) Judge(repo tuf.Digest, role string, file []byte, snapshots ...[]byte) admit.Decision {
	l.T.Helper()
	var parsed []*tuf.Metadata
	for _, s := range snapshots {
		parsed = append(parsed, Parse(l.T, s))
	}
	d, err := l.repos[repo].Judge(l.T.Context(), role, Parse(l.T, file), parsed)
	if err != nil {
		l.T.Fatalf("judge %s: %v", role, err)
	}
	return d
}

// Append logs any entry, and keeps files as blobs.
func (l *Log) Append(entry []byte, files ...[]byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range files {
		l.blobs[tuf.Sum(f)] = f
	}
	l.entries = append(l.entries, entry)
	return int64(len(l.entries) - 1)
}

// Keep keeps files as blobs.
func (l *Log) Keep(files ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range files {
		l.blobs[tuf.Sum(f)] = f
	}
}

// Size is the number of entries.
func (l *Log) Size() int64 { return int64(len(l.entries)) }

// Publish serves a checkpoint over all entries, cosigned by the first n
// witnesses.
func (l *Log) Publish(n int) { l.Serve(l.Checkpoint(l.Size(), n)) }

// Serve serves a checkpoint.
func (l *Log) Serve(checkpoint []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served = checkpoint
}

// Checkpoint returns the signed tree of the first size entries, cosigned by n
// witnesses.
func (l *Log) Checkpoint(size int64, n int) []byte {
	l.T.Helper()
	tree := proofs.Tree{N: size, Hash: l.root(0, size)}
	note := proofs.Note{Text: proofs.Checkpoint{Origin: l.Signer.Key().Name(), Tree: tree}.String()}
	for i, s := range append([]*proofs.Signer{l.Signer}, l.Witnesses[:n]...) {
		sig, err := s.Sign(note.Text, l.Time+int64(i))
		if err != nil {
			l.T.Fatal(err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal()
}

// root is MTH of RFC 6962 over the entries from start to end.
func (l *Log) root(start, end int64) proofs.Hash {
	switch n := end - start; n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, l.entries[start]...))
	default:
		k := int64(1)
		for k*2 < n {
			k *= 2
		}
		left, right := l.root(start, start+k), l.root(start+k, end)
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// Spoil changes the content that is served under a path, such as "checkpoint" or
// "tile/entries/000.p/3". change gets the right content, or nil; a reader gets its
// error.
func (l *Log) Spoil(path string, change func([]byte) ([]byte, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoilt[path] = change
}

// Flip is a change that flips one bit, at a fraction of the length.
func Flip(numerator, denominator int) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = bytes.Clone(b)
		b[len(b)*numerator/denominator] ^= 1
		return b, nil
	}
}

// Missing is a change that removes the file.
func Missing([]byte) ([]byte, error) { return nil, audit.ErrNotFound }

// BlobPath returns the path under which a file is served.
func BlobPath(file []byte) string { return "blob/sha256/" + tuf.Sum(file).String() }

// Read returns the paths that were read so far.
func (l *Log) Read() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.read...)
}

// get is what a path serves.
func (l *Log) get(path string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = append(l.read, path)
	content, ok := l.content(path)
	if change := l.spoilt[path]; change != nil {
		return change(content)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, audit.ErrNotFound)
	}
	return content, nil
}

func (l *Log) content(path string) ([]byte, bool) {
	if path == "checkpoint" {
		return l.served, true
	}
	if hex, ok := strings.CutPrefix(path, "blob/sha256/"); ok {
		sum, err := tuf.ParseDigest(hex)
		if err != nil {
			return nil, false
		}
		blob, ok := l.blobs[sum]
		return blob, ok
	}
	if strings.HasPrefix(path, "tile/files/") {
		return l.pack(path)
	}
	id, err := proofs.ParseTilePath(path)
	if err != nil {
		return nil, false
	}
	below := int64(1) // entries under one hash, or one entry
	if id.Level > 0 {
		below <<= proofs.TileHeight * id.Level
	}
	first := id.Index * proofs.FullWidth * below
	if first+int64(id.Width)*below > l.Size() {
		return nil, false
	}
	var out []byte
	for i := range int64(id.Width) {
		if id.Level < 0 {
			if out, err = proofs.AppendEntry(out, l.entries[first+i]); err != nil {
				return nil, false
			}
			continue
		}
		hash := l.root(first+i*below, first+(i+1)*below)
		out = append(out, hash[:]...)
	}
	return out, true
}

// pack makes the pack at a path. A file that is spoilt is not in it, as a log that lacks
// the right one leaves it out.
func (l *Log) pack(path string) ([]byte, bool) {
	id, err := pack.ParsePath(path)
	if err != nil || !id.In(l.Size()) {
		return nil, false
	}
	entries := l.entries[id.Index*proofs.FullWidth:][:id.Width]
	data, _, err := pack.Encode(entries, func(sum tuf.Digest) ([]byte, error) {
		file := l.blobs[sum]
		if change := l.spoilt["blob/sha256/"+sum.String()]; change != nil {
			if file, err = change(file); err != nil || tuf.Sum(file) != sum {
				return nil, nil
			}
		}
		return file, nil
	})
	return data, err == nil
}

// Source reads the log without a connection.
func (l *Log) Source() audit.Source { return source{l} }

type source struct{ l *Log }

func (s source) Checkpoint(context.Context) ([]byte, error) { return s.l.get("checkpoint") }

func (s source) Tile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	return s.l.get(proofs.TileID{Level: level, Index: index, Width: width}.Path())
}

func (s source) Entries(_ context.Context, index int64, width int) ([]byte, error) {
	return s.l.get(proofs.EntriesPath(index, width))
}

func (s source) Pack(_ context.Context, index int64, width int) ([]byte, error) {
	return s.l.get(pack.Path(proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width}))
}

func (s source) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	return s.l.get("blob/sha256/" + sum.String())
}

// ServeHTTP serves the log as its static URLs do.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := l.get(strings.TrimPrefix(r.URL.Path, "/"))
	switch {
	case errors.Is(err, audit.ErrNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if _, err := w.Write(b); err != nil {
		l.T.Log(err)
	}
}
