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
	// Put stores files durably, all of them or none, with one sync. A file that
	// is stored already stays.
	Put(ctx context.Context, files [][]byte) error
}

// Batches is for a Storage to which more than one process can append, one after the other: a
// batch of one process may arrive after the next process has begun. So each batch is kept
// before it is sent, and the next process to append finishes it first. A late arrival then
// finds its entries in place.
type Batches interface {
	// PutBatch stores files durably as Blobs.Put does. In the same transaction it keeps the
	// batch of entries that are about to be appended from index first on, in their order,
	// and replaces the batch before. The outcome of the batch before must be known.
	PutBatch(ctx context.Context, files [][]byte, first int64, entries [][]byte) error
}

// StateLeaf is a leaf in the derived state.
type StateLeaf struct {
	admit.Record
	Targets []Target // the files that its metadata lists, by path
	// End is set for the log's end, which is not a leaf. The state keeps only the
	// fact that it has it; all other fields but the index are zero.
	End bool
}

// Target is a target file that a release lists. A digest that is not in the
// metadata is zero.
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

// StateWriter stores the state that is derived from the log's entries and blobs. It
// may lag behind the log and can be rebuilt from it. The target files of leaves are
// added apart from the leaves, and later: they may be very many, and a look-up of a
// leaf does not wait for them.
type StateWriter interface {
	// Position returns the right edge of the tree whose entries have been
	// applied, the zero edge if none has been.
	Position(ctx context.Context) (*proofs.Edge, error)
	// Apply adds the leaves that follow those applied so far, without their target
	// files, and moves the position to edge, in one transaction.
	Apply(ctx context.Context, edge *proofs.Edge, leaves []StateLeaf) error
	// Listed returns the number of leaves, from the first on, whose target
	// files are in the state.
	Listed(ctx context.Context) (int64, error)
	// List adds the target files of leaves that were applied. The first of
	// leaves is the first one that is not listed yet. A transaction has at most
	// MaxListRows rows, so a leaf may take several: after each, done is called
	// with the result of Listed. After an error List is called again with the
	// leaf that is first by then.
	List(ctx context.Context, leaves []StateLeaf, done func(listed int64)) error
}

// MaxListRows is the number of rows that one transaction of StateWriter.List
// begins or ends at most.
const MaxListRows = 4096

// StateReader answers questions from the derived state.
type StateReader interface {
	// Records returns the leaves of a repository in log order.
	Records(ctx context.Context, repository tuf.Digest) ([]admit.Record, error)
	// Tail returns, in log order, the leaves of a repository that are of its
	// roots or of the keep highest versions released of their role.
	// floors[role] is the lowest version from which on the tail is complete;
	// complete roles are absent.
	Tail(ctx context.Context, repository tuf.Digest, keep int) (tail []admit.Record, floors map[string]int64, err error)
	// Same returns the indices of the leaves of a repository that have this
	// payload, or are of this role and version.
	Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error)
	// Root returns the first release of a root with this payload, whichever
	// repository has it.
	Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error)
	// Repositories lists the repositories in a log of this size, in the order
	// of their genesis, each with its counts at that size.
	Repositories(ctx context.Context, size int64) ([]RepositoryCount, error)
	// Lookup returns the leaves whose payload, metadata or snapshot has the
	// digest, and the target files that have it, at most limit of each, in log
	// order. Target files of leaves that are not listed yet are not found.
	Lookup(ctx context.Context, sum tuf.Digest, limit int) ([]admit.Record, []Listing, error)
}

// StateSearcher finds the target files of releases, as far as they are listed. Its
// answers do not take part in admission.
type StateSearcher interface {
	// ListSHA512 returns the leaves whose metadata lists a target file with
	// this digest, at most limit of them, in log order.
	ListSHA512(ctx context.Context, sum SHA512, limit int) ([]Listing, error)
	// ListPath does the same for a target file's path.
	ListPath(ctx context.Context, path string, limit int) ([]Listing, error)
	// ListLength does the same for its length in bytes.
	ListLength(ctx context.Context, length int64, limit int) ([]Listing, error)
	// Files returns a leaf and the target files that its metadata lists, at
	// most limit of them, by path. It reports whether the leaf exists.
	Files(ctx context.Context, index int64, limit int) (admit.Record, []Target, bool, error)
	// Versions returns the leaves of a role in log order.
	Versions(ctx context.Context, repository tuf.Digest, role string) ([]admit.Record, error)
}

// State is the whole derived state of a log. A test suite is in log/statetest.
type State interface {
	StateWriter
	StateReader
	StateSearcher
}

// RepositoryCount is a repository with the numbers of its leaves.
type RepositoryCount struct {
	ID       tuf.Digest
	Encoding tuf.Encoding
	Releases int64
	Evidence int64
}

// Listing is a leaf together with a target file that its metadata lists.
type Listing struct {
	admit.Record
	Target
}

// TargetsOf returns the target files that metadata lists, in the order of their
// paths. The state numbers them in this order, so that two states of one log are
// equal.
func TargetsOf(m *tuf.Metadata) []Target {
	if m.Targets == nil {
		return nil
	}
	list := make([]Target, 0, m.Targets.Len())
	for path, f := range m.Targets.Files() {
		// A malformed digest counts as absent: it cannot be looked up here, and
		// the metadata is judged elsewhere.
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
