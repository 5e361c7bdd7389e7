package log

import (
	"context"
	"encoding/hex"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Blobs keeps the files that leaves name, by their SHA-256. A test suite is in
// log/statetest.
type Blobs interface {
	// Blob returns the file with this SHA-256, or fs.ErrNotExist. A file that
	// no longer has the digest is an error.
	admit.Blobs
	// Put makes files durable, all of them or none, with one sync. A file that
	// is there already stays.
	Put(ctx context.Context, files [][]byte) error
}

// Batches is for a Storage to which more than one process can append, one after the other:
// what one of them has sent may arrive when the next has begun. So each batch is kept before
// it is sent, and whoever appends next finishes it first: then what arrives late is there
// already.
type Batches interface {
	// PutBatch makes files durable as Blobs.Put does, and in the same transaction keeps, in
	// the place of the one before, the batch of entries that are about to be appended from
	// index first on, in their order. What became of the one before must be known.
	PutBatch(ctx context.Context, files [][]byte, first int64, entries [][]byte) error
}

// StateLeaf is a leaf as the state keeps it.
type StateLeaf struct {
	admit.Record
	Targets []Target // the files that its metadata lists, by path
	// End is set of the log's end, which is not a leaf: nothing is kept of it but
	// that the state has it. The rest is zero, but for the index.
	End bool
}

// Target is a target file that a release lists. A digest that its metadata does
// not give is zero.
type Target struct {
	Path   string
	SHA256 tuf.Digest
	SHA512 SHA512
	Length int64 // bytes; -1 where the metadata does not say
}

// SHA512 is a digest of a target file.
type SHA512 [64]byte

// String returns 128 lower-case hex digits.
func (s SHA512) String() string { return hex.EncodeToString(s[:]) }

// ParseSHA512 reads 128 lower-case hex digits.
func ParseSHA512(text string) (s SHA512, ok bool) {
	ok = tuf.DecodeHex(s[:], text)
	return s, ok
}

// StateWriter keeps what is derived from the log's entries and blobs. It may lag
// behind the log and can be made anew from it. What leaves list is added apart from
// the leaves, and later: there may be very much of it, and nobody who asks for a
// leaf waits for it.
type StateWriter interface {
	// Position returns the right edge of the tree whose entries have been
	// applied. The zero edge means that nothing was.
	Position(ctx context.Context) (*proofs.Edge, error)
	// Apply adds the leaves that follow those applied so far, without their target
	// files, and moves the position to edge, in one transaction.
	Apply(ctx context.Context, edge *proofs.Edge, leaves []StateLeaf) error
	// Listed returns of how many leaves, from the first on, the state has the
	// target files.
	Listed(ctx context.Context) (int64, error)
	// List adds the target files of leaves that were applied, the first of which
	// is the first that is not listed. No transaction has more than MaxListRows
	// rows, so a leaf may take several: after each, done is told what Listed
	// returns. After an error List is called again with the leaf that is first
	// by then.
	List(ctx context.Context, leaves []StateLeaf, done func(listed int64)) error
}

// MaxListRows is how many rows one transaction of StateWriter.List begins or ends.
const MaxListRows = 4096

// StateReader answers questions from the derived state.
type StateReader interface {
	// Records returns the leaves of a repository in log order.
	Records(ctx context.Context, repository tuf.Digest) ([]admit.Record, error)
	// Tail returns, in log order, the leaves of a repository that are of its
	// roots or of the keep highest versions released of their role. Floors says
	// for each role of which leaves are left out from which version on there
	// are all.
	Tail(ctx context.Context, repository tuf.Digest, keep int) (tail []admit.Record, floors map[string]int64, err error)
	// Same returns the indices of the leaves of a repository that have this
	// payload, or are of this role and version.
	Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error)
	// Root returns the first release of a root with this payload, whichever
	// repository has it.
	Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error)
	// Repositories lists the repositories that a log of this size has, in the
	// order of their genesis, with what they have there.
	Repositories(ctx context.Context, size int64) ([]RepositoryCount, error)
	// Lookup returns the leaves whose payload, metadata or snapshot has the
	// digest, and the target files that have it, at most limit of each, in
	// log order. Of leaves that are not listed no target file is found.
	Lookup(ctx context.Context, sum tuf.Digest, limit int) ([]admit.Record, []Listing, error)
}

// StateSearcher finds what releases list, as far as they are listed. Nothing that it
// says has a part in what the log admits.
type StateSearcher interface {
	// ListSHA512 returns the leaves whose metadata lists a target file with
	// this digest, at most limit of them, in log order.
	ListSHA512(ctx context.Context, sum SHA512, limit int) ([]Listing, error)
	// ListPath does the same for a target file's path.
	ListPath(ctx context.Context, path string, limit int) ([]Listing, error)
	// ListLength does the same for its length in bytes.
	ListLength(ctx context.Context, length int64, limit int) ([]Listing, error)
	// Files returns a leaf and the target files that its metadata lists, at
	// most limit of them, by path. It is false where there is no such leaf.
	Files(ctx context.Context, index int64, limit int) (admit.Record, []Target, bool, error)
	// Versions returns the leaves of a role in log order.
	Versions(ctx context.Context, repository tuf.Digest, role string) ([]admit.Record, error)
}

// State is all of them.
type State interface {
	StateWriter
	StateReader
	StateSearcher
}

// RepositoryCount says how many leaves a repository has.
type RepositoryCount struct {
	ID       tuf.Digest
	Encoding tuf.Encoding
	Releases int64
	Evidence int64
}

// Listing says that a leaf's metadata lists a target file.
type Listing struct {
	admit.Record
	Target
}

// TargetsOf returns the files that metadata lists, by path as they are there: the
// state numbers them in this order, and two states of one log are the same.
func TargetsOf(m *tuf.Metadata) []Target {
	if m.Targets == nil {
		return nil
	}
	list := make([]Target, 0, m.Targets.Len())
	for path, f := range m.Targets.Files() {
		// A digest that cannot be read is none: nobody can look it up here,
		// and what the metadata says is judged elsewhere.
		t := Target{Path: path, Length: f.Length}
		if sum, err := tuf.ParseDigest(f.Hashes["sha256"]); err == nil {
			t.SHA256 = sum
		}
		if sum, ok := ParseSHA512(f.Hashes["sha512"]); ok {
			t.SHA512 = sum
		}
		list = append(list, t)
	}
	return list
}

// Lists reports whether the metadata of a role may list target files.
func Lists(role string) bool {
	return role != tuf.RoleRoot && role != tuf.RoleSnapshot && role != tuf.RoleTimestamp
}
