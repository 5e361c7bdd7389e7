package audittest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// LargeState makes a state in a directory that has none, of a log that has been watched for a
// year, with so many leaves of so many repositories: a tenth of these have most of the leaves.
// It is written without judging anything, and is the same each time.
//
// Of each repository the first leaf is a root, which lists four keys; every 50th is another
// root, and most of the others are of role targets and list three files, of which one is new.
// There is a note for each 500 leaves or so, and a finding for each 100.
func LargeState(ctx context.Context, dir string, leaves int64, repositories int) error {
	db, err := state.Open(ctx, dir)
	if err != nil {
		return err
	}
	m := &maker{db: db, rand: rand.New(rand.NewPCG(1, 2)), counts: make([]int64, repositories), now: time.Unix(1_700_000_000, 0)}
	for i := range repositories {
		m.ids = append(m.ids, LargeRepository(i))
	}
	m.step = 365 * 24 * time.Hour / time.Duration(leaves)
	if err := errors.Join(m.make(ctx, leaves), db.Close()); err != nil || len(m.known) == 0 {
		return err
	}
	_, err = state.Acknowledge(ctx, dir, m.known, "it is known", m.now)
	return err
}

// LargeRepository returns the id of a repository in a LargeState, of those from 0 on. The
// first one has the most leaves.
func LargeRepository(i int) tuf.Digest {
	m, err := tuf.ParseJSON(rootFile(i, 1))
	if err != nil {
		panic(err) // it is the same file each time
	}
	return m.PayloadDigest
}

type maker struct {
	db     *state.DB
	rand   *rand.Rand
	ids    []tuf.Digest
	counts []int64 // leaves of each repository
	now    time.Time
	step   time.Duration
	newest []byte   // note
	known  []string // findings to be acknowledged
}

func (m *maker) make(ctx context.Context, leaves int64) error {
	notes := max(leaves/2000, 500)
	for m.db.Size() < leaves {
		if err := m.leaf(ctx); err != nil {
			return err
		}
		m.now = m.now.Add(m.step)
		if m.db.Size()%notes == 0 || m.db.Size() == leaves {
			if err := m.note(ctx); err != nil {
				return err
			}
		}
		if m.db.Size()%100 == 0 {
			if err := m.finding(ctx); err != nil {
				return err
			}
		}
		if m.db.Size()%16384 == 0 {
			if err := m.db.Commit(ctx); err != nil {
				return err
			}
		}
	}
	if err := m.db.SetVerified(ctx, m.newest); err != nil {
		return err
	}
	return m.db.FinishReplay(ctx, m.now)
}

// some returns the number of a repository: each once, and then mostly one of the first.
func (m *maker) some() int {
	if n := int(m.db.Size()); n < len(m.counts) {
		return n
	}
	if m.rand.IntN(10) > 0 {
		return m.rand.IntN(m.rand.IntN(max(len(m.counts)/10, 1)) + 1)
	}
	return m.rand.IntN(len(m.counts))
}

func (m *maker) leaf(ctx context.Context) error {
	i := m.some()
	n := m.counts[i]
	m.counts[i]++
	l := &state.Leaf{Index: m.db.Size(), Verdict: state.Right, Expires: m.now.Unix() + 90*24*3600, Leaf: leaf.Leaf{
		Kind: leaf.Release, Repository: m.ids[i], Role: "targets", Version: n + 1, Encoding: tuf.JSON,
	}}
	var b []byte
	switch {
	case n%50 == 0:
		l.Role, l.Version = "root", n/50+1
		b = rootFile(i, l.Version)
	case n%10 == 9:
		l.Role = "delegated"
		fallthrough
	default:
		b = targetsFile(i, n, l.Role, l.Version)
	}
	metadata, err := tuf.ParseJSON(b)
	if err != nil {
		return err
	}
	l.Payload, l.Metadata, l.Size = metadata.PayloadDigest, tuf.Sum(b), int64(len(b))
	if n%50 != 0 && m.rand.IntN(500) == 0 {
		l.Verdict = state.Wrong
		return m.db.Append(ctx, l)
	}
	if err := m.db.List(ctx, l, metadata); err != nil {
		return err
	}
	if n == 0 {
		if err := m.db.SetGenesis(ctx, l.Repository, l.Index); err != nil {
			return err
		}
	}
	return m.db.Append(ctx, l)
}

func rootFile(repository int, version int64) []byte {
	var keys, ids bytes.Buffer
	for k := range 4 {
		id := tuf.Sum(fmt.Append(nil, "key ", repository, k, version/4))
		if k > 0 {
			keys.WriteString(", ")
			ids.WriteString(", ")
		}
		fmt.Fprintf(&keys, `"%v": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "%v"}}`, id, tuf.Sum(id[:]))
		fmt.Fprintf(&ids, `"%v"`, id)
	}
	role := fmt.Sprintf(`{"keyids": [%s], "threshold": 2}`, &ids)
	return fmt.Appendf(nil, `{"signed": {"_type": "root", "consistent_snapshot": true, "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.0", "version": %d, "keys": {%s}, "roles": {"root": %s, "targets": %[3]s, "snapshot": %[3]s, "timestamp": %[3]s}}, "signatures": []}`,
		version, &keys, role)
}

func targetsFile(repository int, n int64, role string, version int64) []byte {
	file := func(n int64) string {
		sum := tuf.Sum(fmt.Append(nil, "file ", repository, n))
		return fmt.Sprintf(`"%s/product-%d/release-%d/firmware.bin": {"length": %d, "hashes": {"sha256": "%v"}}`, role, repository, n, n, sum)
	}
	return fmt.Appendf(nil, `{"signed": {"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.0", "version": %d, "targets": {%s, %s, "%s/README": {"length": 10, "hashes": {"sha256": "%v"}}}}, "signatures": []}`,
		version, file(n), file(n-1), role, tuf.Sum(nil))
}

// finding makes one, mostly about a repository with many leaves. Some have gone, and some are
// acknowledged.
func (m *maker) finding(ctx context.Context) error {
	kinds := []audit.Kind{audit.VersionGap, audit.RunningOut, audit.KeyForm, audit.VersionGap, audit.BlobMissing, audit.UnknownLeaf, audit.SharedKeys, audit.FalseAdmission}
	kind := kinds[min(m.rand.IntN(len(kinds)), m.rand.IntN(len(kinds)))]
	l, _, err := m.db.Leaf(ctx, m.db.Size()-1)
	if err != nil {
		return err
	}
	f := audit.NewFinding(kind, l.Index, l.Repository, l.Role, l.Version, fmt.Sprintf("a finding about leaf %d", l.Index))
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	kept := state.Finding{Sum: tuf.Sum(body), Kind: string(f.Kind), Class: string(f.Class), Repository: f.Repository, Leaf: f.Index, Body: body}
	if err := m.db.PutFinding(ctx, kept, m.now); err != nil {
		return err
	}
	switch m.rand.IntN(4) {
	case 0:
		m.known = append(m.known, kept.Sum.String())
	case 1:
		err = m.db.FindingGone(ctx, kept.Sum, m.now.Add(time.Minute))
	}
	return err
}

func (m *maker) note(ctx context.Context) error {
	signer, err := proofs.GenerateSigner(bytes.NewReader(make([]byte, 64)), Origin, proofs.Ed25519)
	if err != nil {
		return err
	}
	n := proofs.Note{Text: proofs.Checkpoint{Origin: Origin, Tree: m.db.Tree().Tree()}.String()}
	signature, err := signer.Sign(n.Text, 0)
	if err != nil {
		return err
	}
	n.Signatures = append(n.Signatures, signature)
	if err := m.db.PutNote(ctx, n, false, m.now); err != nil {
		return err
	}
	m.newest = n.Marshal()
	return nil
}

// BenchState returns a LargeState for a benchmark: of a million leaves and 10,000 repositories,
// or of as many leaves as TUFLOG_BENCH_LEAVES says, with -short of 50,000. If
// TUFLOG_BENCH_STATE names a folder it is made there once, and used again.
func BenchState(b testing.TB) (dir string, leaves int64, repositories int) {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	leaves = 1_000_000
	if testing.Short() {
		leaves = 50_000
	}
	if s := os.Getenv("TUFLOG_BENCH_LEAVES"); s != "" {
		var err error
		leaves, err = strconv.ParseInt(s, 10, 64)
		must(err)
	}
	repositories = int(max(leaves/100, 20))
	if dir = os.Getenv("TUFLOG_BENCH_STATE"); dir == "" {
		dir = b.TempDir()
	}
	dir = filepath.Join(dir, fmt.Sprint("state-", leaves))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		begin := time.Now()
		must(LargeState(b.Context(), dir+".new", leaves, repositories))
		must(os.Rename(dir+".new", dir))
		must(os.Rename(dir+".new.newest", dir+".newest"))
		b.Logf("%d leaves of %d repositories were made in %v", leaves, repositories, time.Since(begin).Round(time.Second))
	}
	return dir, leaves, repositories
}
