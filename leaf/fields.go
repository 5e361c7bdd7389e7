package leaf

import (
	"fmt"

	"github.com/tuflog/tuflog/tuf"
)

// Fields is a leaf as JSON shows it, to those who read a log and to those who read what an
// auditor makes of it. Where it stands in the log is said beside it. Digests are SHA-256, 64
// lower-case hex digits.
type Fields struct {
	Kind        string `json:"kind"`       // release or evidence
	Repository  string `json:"repository"` // digest of the genesis root's payload
	Role        string `json:"role"`       // not percent-encoded
	Version     int64  `json:"version"`
	Payload     string `json:"payload"`
	Metadata    string `json:"metadata"` // of the file as submitted: a blob
	Size        int64  `json:"size"`     // bytes of that blob
	Snapshot    string `json:"snapshot,omitempty"`
	Listed      string `json:"listed,omitempty"` // how the snapshot lists it: hash or version
	Encoding    string `json:"encoding"`
	Contradicts *int64 `json:"contradicts,omitempty"` // evidence only: index of the release
}

// Fields returns what JSON shows of l.
func (l Leaf) Fields() Fields {
	f := Fields{
		Kind:       string(l.Kind),
		Repository: l.Repository.String(),
		Role:       l.Role,
		Version:    l.Version,
		Payload:    l.Payload.String(),
		Metadata:   l.Metadata.String(),
		Size:       l.Size,
		Encoding:   string(l.Encoding),
	}
	if !l.Snapshot.IsZero() {
		f.Snapshot, f.Listed = l.Snapshot.String(), string(l.Listed)
	}
	if l.Kind == Evidence {
		f.Contradicts = &l.Contradicts
	}
	return f
}

// Leaf returns the leaf that f shows. An error means that none is shown so.
func (f Fields) Leaf() (Leaf, error) {
	l := Leaf{Kind: Kind(f.Kind), Role: f.Role, Version: f.Version, Size: f.Size, Encoding: tuf.Encoding(f.Encoding), Listed: Listing(f.Listed)}
	for _, d := range []struct {
		name string
		to   *tuf.Digest
		text string
	}{{"repository", &l.Repository, f.Repository}, {"payload", &l.Payload, f.Payload}, {"metadata", &l.Metadata, f.Metadata}, {"snapshot", &l.Snapshot, f.Snapshot}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = tuf.ParseDigest(d.text); err != nil {
			return l, fmt.Errorf("leaf: %s: %w", d.name, err)
		}
	}
	if f.Contradicts != nil {
		l.Contradicts = *f.Contradicts
	}
	return l, l.Check()
}
