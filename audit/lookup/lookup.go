package lookup

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Query is a file to look for in the log. If only a hash is known, only the
// releases that list that hash can be found. If only a path is known, all that list it.
type Query struct {
	SHA256 tuf.Digest `json:"sha256,omitzero"`
	SHA512 string     `json:"sha512,omitempty"` // lower-case hex
	Length int64      `json:"length"`           // in bytes; -1: not known
	Path   string     `json:"path,omitempty"`   // the target path; empty: any
}

// ParseQuery returns the query for a file by its hash: SHA-256 or SHA-512 in hex of
// either case, optionally after the algorithm's name and a colon.
func ParseQuery(s string) (Query, error) {
	digits := strings.ToLower(s)
	for name, size := range map[string]int{"sha256": sha256.Size, "sha512": sha512.Size} {
		if rest, ok := strings.CutPrefix(digits, name+":"); ok && len(rest) == hex.EncodedLen(size) {
			digits = rest
			break
		}
	}
	if _, err := hex.DecodeString(digits); err != nil {
		return Query{}, fmt.Errorf("%q is not a hash in hex", s)
	}
	switch len(digits) {
	case hex.EncodedLen(sha256.Size):
		sum, err := tuf.ParseDigest(digits)
		return QueryDigest(sum), err
	case hex.EncodedLen(sha512.Size):
		return Query{SHA512: digits, Length: -1}, nil
	}
	return Query{}, fmt.Errorf("%q has %d hex digits, a SHA-256 has 64 and a SHA-512 has 128", s, len(digits))
}

// QueryDigest returns the query for a file by its SHA-256.
func QueryDigest(sum tuf.Digest) Query { return Query{SHA256: sum, Length: -1} }

// QueryFile returns the query for the file that it reads.
func QueryFile(r io.Reader) (Query, error) {
	h256, h512 := sha256.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(h256, h512), r)
	if err != nil {
		return Query{}, err
	}
	return Query{SHA256: tuf.Digest(h256.Sum(nil)), SHA512: hex.EncodeToString(h512.Sum(nil)), Length: n}, nil
}

// Answer is a leaf with metadata that lists the file.
type Answer struct {
	Index int64 `json:"index"`
	// Since is the index of the first of the successive releases of the role that list it,
	// of which this is the last.
	Since      int64             `json:"since"`
	Kind       leaf.Kind         `json:"kind"`
	Repository tuf.Digest        `json:"repository"`
	Role       string            `json:"role"`
	Version    int64             `json:"version"`
	Expires    int64             `json:"expires"` // POSIX seconds
	Path       string            `json:"path"`    // the target path
	Length     int64             `json:"length"`  // as listed; -1: not listed
	Hashes     map[string]string `json:"hashes"`  // as listed
	// Conflict tells how the entry contradicts the file in spite of a matching
	// hash; empty: it does not.
	Conflict string `json:"conflict,omitempty"`
	// More is how many further paths of the leaf list the file and have no answer. It
	// is set in the last answer of the leaf.
	More int `json:"more,omitempty"`
	// Current reports whether the release is the one in force for its role; nil: it is not
	// known, as in an answer that is not complete.
	Current *bool `json:"current,omitempty"`
	// Rivals are leaves of the same role and version with another payload.
	Rivals []Rival `json:"rivals,omitempty"`
	// Proof is a c2sp.org/tlog-proof of the leaf, verified under the policy.
	Proof string `json:"proof"`

	raw []byte
}

// Rival is a leaf with another payload than an answer's, of its role and version.
type Rival struct {
	Index int64     `json:"index"`
	Kind  leaf.Kind `json:"kind"`
}

// Named is a leaf that names the file itself: it is metadata.
type Named struct {
	Index int64  `json:"index"`
	As    string `json:"as"` // "metadata", "payload" or "snapshot"
}

// Lookup finds the releases that list a file. Only a replay of the whole log gives a complete
// answer. Add takes what a log's index says.
type Lookup struct {
	Query Query `json:"query"`
	// Vendors are the repositories whose leaves count, with the names that the asker has
	// for them, if any; empty: all leaves count.
	Vendors map[tuf.Digest]string `json:"vendors,omitempty"`
	// Complete reports whether no leaf can be missing: that the whole log was replayed.
	Complete  bool     `json:"complete"`
	Answers   []Answer `json:"answers"`
	More      int      `json:"more,omitempty"` // leaves that list the file and have no answer, because there are more than MaxShown
	Elsewhere int      `json:"elsewhere"`      // leaves, or successive releases, of repositories that do not count that list the file
	Named     []Named  `json:"named"`          // leaves that name the file itself
}

// New prepares a lookup.
func New(q Query) *Lookup {
	return &Lookup{Query: q, Answers: []Answer{}, Named: []Named{}}
}

// maxPaths is how many answers a leaf has: whoever may register could have one list the
// file a looker-up asks about under a hundred thousand paths.
const maxPaths = 4

// Counts reports whether the leaves of a repository count.
func (l *Lookup) Counts(repository tuf.Digest) bool {
	_, ok := l.Vendors[repository]
	return ok || len(l.Vendors) == 0
}

// look adds the answers of a leaf, and reports whether it has any.
func (l *Lookup) look(index int64, entry leaf.Leaf, raw []byte, m *tuf.Metadata) bool {
	found := false
	for _, part := range []struct {
		as  string
		sum tuf.Digest
	}{{"metadata", entry.Metadata}, {"payload", entry.Payload}, {"snapshot", entry.Snapshot}} {
		if part.sum == l.Query.SHA256 && !part.sum.IsZero() {
			l.Named = append(l.Named, Named{index, part.as})
			found = true
		}
	}
	if m.Targets == nil {
		return found
	}
	var answers []Answer
	for path, file := range m.Targets.Files() {
		listed, conflict := l.Query.compare(path, file)
		if !listed {
			continue
		}
		if !l.Counts(entry.Repository) {
			l.Elsewhere++
			return true
		}
		answers = append(answers, Answer{
			Index: index, Since: index, Kind: entry.Kind, Repository: entry.Repository, Role: entry.Role, Version: entry.Version,
			Expires: m.Expiry(), Path: path, Length: file.Length, Hashes: file.Hashes, Conflict: conflict, raw: raw,
		})
	}
	l.Answers = append(l.Answers, few(answers)...)
	return found || len(answers) > 0
}

// Repositories returns those of the answers and of the vendors.
func (l *Lookup) Repositories() []tuf.Digest {
	ids := map[tuf.Digest]bool{}
	for _, a := range l.Answers {
		ids[a.Repository] = true
	}
	for id := range l.Vendors {
		ids[id] = true
	}
	return slices.SortedFunc(maps.Keys(ids), func(a, b tuf.Digest) int { return bytes.Compare(a[:], b[:]) })
}

// few returns at most maxPaths of a leaf's answers, those without a conflict first. The last
// says how many more there are.
func few(answers []Answer) []Answer {
	slices.SortFunc(answers, func(a, b Answer) int {
		return cmp.Or(cmp.Compare(min(len(a.Conflict), 1), min(len(b.Conflict), 1)), cmp.Compare(a.Path, b.Path))
	})
	if more := len(answers) - maxPaths; more > 0 {
		answers = slices.Clone(answers[:maxPaths])
		answers[maxPaths-1].More = more
	}
	return answers
}

// compare reports whether a target's entry has a hash of the file, or its path where no hash
// is known, and what else in it is not the file's.
func (q Query) compare(path string, file tuf.TargetFile) (listed bool, conflict string) {
	if q.Path != "" && path != q.Path {
		return false, ""
	}
	listed = q.Path != "" && q.SHA256.IsZero() && q.SHA512 == ""
	sum := ""
	if !q.SHA256.IsZero() {
		sum = q.SHA256.String()
	}
	for _, hash := range []struct{ name, want string }{{"sha256", sum}, {"sha512", q.SHA512}} {
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
