package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/tuflog/tuflog/verify"
)

// Query is a file to look for in the log. Where only a hash is known, only the
// releases that list that hash can be found.
type Query struct {
	SHA256 verify.Digest `json:"sha256"`
	SHA512 string        `json:"sha512,omitempty"` // lower-case hex
	Length int64         `json:"length"`           // in bytes; -1: not known
}

// QueryDigest asks for a file of which only the SHA-256 is known.
func QueryDigest(sum verify.Digest) Query { return Query{SHA256: sum, Length: -1} }

// QueryFile reads the file to ask for.
func QueryFile(r io.Reader) (Query, error) {
	h256, h512 := sha256.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(h256, h512), r)
	if err != nil {
		return Query{}, err
	}
	return Query{SHA256: verify.Digest(h256.Sum(nil)), SHA512: hex.EncodeToString(h512.Sum(nil)), Length: n}, nil
}

// Answer is a leaf whose metadata lists the file.
type Answer struct {
	Index      int64             `json:"index"`
	Kind       verify.LeafKind   `json:"kind"`
	Repository verify.Digest     `json:"repository"`
	Role       string            `json:"role"`
	Version    int64             `json:"version"`
	Expires    int64             `json:"expires"` // POSIX seconds
	Path       string            `json:"path"`    // the target path
	Length     int64             `json:"length"`  // as listed; -1: not listed
	Hashes     map[string]string `json:"hashes"`  // as listed
	// Conflict says how the entry contradicts the file in spite of a hash that
	// fits; empty: it does not.
	Conflict string `json:"conflict,omitempty"`
	// Current says that the release is the one in force for its role.
	Current bool `json:"current"`
	// Proof is a c2sp.org/tlog-proof of the leaf, verified under the policy.
	Proof string `json:"proof"`

	raw []byte
}

// Named is a leaf that names the file itself: it is metadata.
type Named struct {
	Index int64  `json:"index"`
	As    string `json:"as"` // "metadata", "payload" or "snapshot"
}

// Lookup finds the releases that list a file. Its Observe is for Config.Observe:
// only a replay of the whole log gives an answer that is complete.
type Lookup struct {
	Query   Query    `json:"query"`
	Answers []Answer `json:"answers"`
	Named   []Named  `json:"named"` // leaves of which the file is a part
}

// NewLookup prepares a lookup.
func NewLookup(q Query) *Lookup {
	return &Lookup{Query: q, Answers: []Answer{}, Named: []Named{}}
}

// Observe looks into one leaf.
func (l *Lookup) Observe(o *Observation) error {
	for _, part := range []struct {
		as  string
		sum verify.Digest
	}{{"metadata", o.Leaf.Metadata}, {"payload", o.Leaf.Payload}, {"snapshot", o.Leaf.Snapshot}} {
		if part.sum == l.Query.SHA256 {
			l.Named = append(l.Named, Named{o.Index, part.as})
		}
	}
	if o.Metadata.Targets == nil {
		return nil
	}
	first := len(l.Answers)
	for path, file := range o.Metadata.Targets.Files() {
		listed, conflict := l.Query.compare(file)
		if !listed {
			continue
		}
		l.Answers = append(l.Answers, Answer{
			Index: o.Index, Kind: o.Leaf.Kind, Repository: o.Leaf.Repository, Role: o.Leaf.Role, Version: o.Leaf.Version,
			Expires: o.Metadata.Expires.Unix(), Path: path, Length: file.Length, Hashes: file.Hashes, Conflict: conflict, raw: o.Raw,
		})
	}
	slices.SortFunc(l.Answers[first:], func(a, b Answer) int { return cmp.Compare(a.Path, b.Path) })
	return nil
}

// compare reports whether a target's entry has a hash of the file, and what else
// in it is not the file's.
func (q Query) compare(file verify.TargetFile) (listed bool, conflict string) {
	for _, hash := range []struct{ name, want string }{{"sha256", q.SHA256.String()}, {"sha512", q.SHA512}} {
		got, ok := file.Hashes[hash.name]
		switch {
		case !ok || hash.want == "":
		case got == hash.want:
			listed = true
		default:
			conflict = fmt.Sprintf("lists %s %s", hash.name, got)
		}
	}
	if q.Length >= 0 && file.Length >= 0 && q.Length != file.Length {
		conflict = fmt.Sprintf("lists %d bytes, the file has %d", file.Length, q.Length)
	}
	return listed, conflict
}

// Finish proves each answer and says which are current, after the replay. The
// error means that a proof could not be made now; other answers may have theirs.
func (l *Lookup) Finish(ctx context.Context, a *Auditor) error {
	a.ctx = ctx
	var firstErr error
	for i := range l.Answers {
		answer := &l.Answers[i]
		current, ok, err := a.repos[answer.Repository].Current(answer.Role)
		if err == nil {
			answer.Current = ok && current.Index == answer.Index
			var proof []byte
			if proof, err = a.Prove(ctx, answer.Index, answer.raw); err == nil {
				answer.Proof = string(proof)
			}
		}
		if err != nil && firstErr == nil {
			firstErr = fmt.Errorf("prove leaf %d: %w", answer.Index, err)
		}
	}
	return firstErr
}
