package evidence

import (
	"context"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// CheckEntries checks an accusation of the entry at index that would hold some entries of
// a log, and those files that fetch returns.
func CheckEntries(ctx context.Context, kind Kind, index, size int64, spans []fraud.Span, fetch func(context.Context, tuf.Digest) ([]byte, error)) (Statement, error) {
	r := &reader{
		kind: kind, index: index, tree: proofs.Tree{N: size}, spans: spans,
		entries: map[int64][]byte{}, files: map[tuf.Digest][]byte{}, read: map[encoded]parsed{}, fetch: fetch,
	}
	for _, s := range spans {
		for i, e := range s.Entries {
			r.entries[s.First+int64(i)] = e
		}
	}
	return r.check(ctx)
}

// CheckRivals checks an equivocation of parsed files.
func CheckRivals(role string, roots, delegators, rivals, snapshots []*tuf.Metadata) error {
	_, err := (&equivocation{role, roots, delegators, rivals, snapshots, newVerifier()}).check()
	return err
}
