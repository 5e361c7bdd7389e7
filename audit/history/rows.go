package history

import (
	"context"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Row is one leaf of a repository.
type Row struct {
	Index       int64      `json:"index"`
	Kind        leaf.Kind  `json:"kind"`
	Role        string     `json:"role"`
	Version     int64      `json:"version"`
	Metadata    tuf.Digest `json:"metadata"` // SHA-256 of the file
	Payload     tuf.Digest `json:"payload"`
	SeenBy      int64      `json:"seen_by,omitempty"` // POSIX seconds by which a quorum had cosigned a checkpoint with it
	Expires     int64      `json:"expires"`           // POSIX seconds
	SignedBy    []string   `json:"signed_by"`         // ids of the role's keys that signed; of a key that has several the first
	Threshold   int        `json:"threshold"`         // how many must; of a root, by itself
	Keys        int        `json:"keys"`              // of how many
	Contradicts *int64     `json:"contradicts,omitempty"`
	Against     *int64     `json:"against,omitempty"` // index of the leaf with which it is compared; of the first of a role there is none
	// Changes is what it changed; for the first of a role, what it has.
	Changes *explain.Changes `json:"changes"`
	// Unlike is how it is unlike all releases of its role before.
	Unlike []explain.Discontinuity `json:"unlike,omitempty"`
}

// window is how far apart the two times that Seen returns may be for the later one to count
// as the time of a release.
const window = 48 * time.Hour

// Rows calls fn for the leaves of a role, or of all roles if role is empty, in log order. An
// error of fn ends that.
func (h *History) Rows(ctx context.Context, role string, fn func(Row) error) error {
	if len(h.Records) == 0 {
		return nil
	}
	roles := map[string]*line{}
	_, err := h.walk(ctx, h.Records[len(h.Records)-1].Index+1, func(before *admit.Repository, r admit.Record) error {
		if role != "" && r.Leaf.Role != role {
			return nil
		}
		of := roles[r.Leaf.Role]
		if of == nil {
			of = &line{releases: map[int64]admit.Record{}}
			roles[r.Leaf.Role] = of
		}
		row, err := h.row(ctx, before, r, of)
		if err != nil {
			return err
		}
		return fn(row)
	})
	return err
}

// line is the releases of one role so far.
type line struct {
	releases map[int64]admit.Record // by version, the last one
	highest  int64
	before   explain.Predecessors
}

// comparable returns the release with which a leaf is compared: for evidence the one that it
// contradicts, for a version released again the earlier one, otherwise the highest below it.
func (l *line) comparable(of leaf.Leaf) (admit.Record, bool) {
	if l.highest <= of.Version {
		r, ok := l.releases[l.highest]
		return r, ok
	}
	var best admit.Record
	found := false
	for version, r := range l.releases {
		if version <= of.Version && (!found || version > best.Leaf.Version) {
			best, found = r, true
		}
	}
	return best, found
}

func (h *History) row(ctx context.Context, before *admit.Repository, r admit.Record, of *line) (Row, error) {
	m, keys, err := h.signers(ctx, before, r)
	if err != nil {
		return Row{}, err
	}
	row := Row{
		Index: r.Index, Kind: r.Leaf.Kind, Role: r.Leaf.Role, Version: r.Leaf.Version, Metadata: r.Leaf.Metadata, Payload: r.Leaf.Payload,
		Expires: m.Expiry(), SignedBy: []string{}, Threshold: keys.Threshold(), Keys: len(keys.Identities()),
	}
	for _, signer := range m.Signers(keys) {
		row.SignedBy = append(row.SignedBy, keys.IDs(signer)[0])
	}
	var when time.Time
	if h.Seen != nil {
		by, notYet := h.Seen(r.Index)
		row.SeenBy = by
		if notYet > 0 && by > 0 && time.Duration(by-notYet)*time.Second <= window {
			when = time.Unix(by, 0)
		}
	}
	if r.Leaf.Kind == leaf.Evidence {
		row.Contradicts = &r.Leaf.Contradicts
	}
	if against, ok := of.comparable(r.Leaf); ok {
		old, err := h.File(ctx, against.Leaf)
		if err != nil {
			return Row{}, err
		}
		row.Against = &against.Index
		if row.Changes, err = explain.Diff(r.Leaf.Role, old, m); err != nil {
			return Row{}, err
		}
	} else if row.Changes, err = explain.First(r.Leaf.Role, m); err != nil {
		return Row{}, err
	}
	if r.Leaf.Kind == leaf.Release {
		row.Unlike = of.before.Next(explain.Release{Metadata: m, Keys: keys, Time: when})
		of.releases[r.Leaf.Version] = r
		of.highest = max(of.highest, r.Leaf.Version)
	}
	return row, nil
}
