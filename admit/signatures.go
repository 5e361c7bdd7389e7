package admit

import (
	"context"
	"slices"
	"unique"

	"github.com/tuflog/tuflog/tuf"
)

// This file holds what a Repository keeps of the signatures of its files. After a
// rotation thousands of releases may have to be passed over, and a version may
// have many payloads: their files are read again only for what nobody has asked
// before. All of it is facts about files, never about the state of the log, so
// that a repository that has just been loaded and one that has judged for years
// come to the same verdicts.

const (
	maxVerdicts = 4096 // of snapshots under keys: a submission may have a thousand
	maxPending  = 64   // summaries of files that were judged and are not logged

	// A file with more signatures than maxSummarized, or with longer key ids
	// than maxKeyIDBytes together, is read whenever it is asked who signed it.
	maxSummarized = 32
	maxKeyIDBytes = 4096

	maxFacts = 16 // known of one signature
)

// signedCache remembers, of each record, who has signed it, and of some files,
// whether they meet some keys.
type signedCache struct {
	summaries []*summary // by position; nil: the file has not been read
	pending   map[tuf.Digest]*summary
	verdicts  map[verdict]bool
}

// verdict is a question whose answer never changes.
type verdict struct {
	file tuf.Digest
	keys tuf.Digest // a set's fingerprint, which covers all that the answer depends on
}

// summary is what is known of a file from having read it.
type summary struct {
	signatures []sealed // in the file's order
	many       bool     // there are too many: signatures is empty
	looks      int      // how many of them may be looked at
	delegates  bool     // it is targets metadata with delegations
	lists      int      // how many targets it lists
}

// sealed is a signature without its bytes.
type sealed struct {
	keyID unique.Handle[string]
	first int16 // the first signature of the file with the same bytes
	facts []fact
}

// fact is whether a key made a signature.
type fact struct {
	key   tuf.KeyIdentity
	way   unique.Handle[string] // the key's scheme: one RSA key signs in several ways
	valid bool
	alone bool // the key is exclusive
}

func summarize(m *tuf.Metadata) *summary {
	s := &summary{looks: m.Looks()}
	if m.Targets != nil {
		s.delegates, s.lists = m.Targets.Delegations != nil, m.Targets.Len()
	}
	size := 0
	for _, sig := range m.Signatures {
		size += len(sig.KeyID)
	}
	if s.many = len(m.Signatures) > maxSummarized || size > maxKeyIDBytes; s.many {
		return s
	}
	for i, sig := range m.Signatures {
		s.signatures = append(s.signatures, sealed{keyID: unique.Make(sig.KeyID), first: int16(m.FirstAlike(i))})
	}
	s.signatures = slices.Clip(s.signatures)
	return s
}

// known returns whether key made a signature, if that is known.
func (s *sealed) known(key *tuf.Key) (valid, known bool) {
	identity, _ := key.Identity()
	for _, f := range s.facts {
		if f.key == identity && f.way.Value() == key.Scheme {
			return f.valid, true
		}
		if f.valid && f.alone && key.Exclusive() && f.key != identity {
			return false, true
		}
	}
	return false, false
}

func (s *sealed) learn(key *tuf.Key, valid bool) {
	if len(s.facts) >= maxFacts {
		s.facts = s.facts[1:]
	}
	identity, _ := key.Identity()
	s.facts = append(s.facts, fact{identity, unique.Make(key.Scheme), valid, key.Exclusive()})
}

// signers returns which keys of a set have signed the file, and how many
// signatures were looked at, at most looks. The file, m, may be nil: then known
// reports whether all that counts was known without it.
func (s *summary) signers(keys tuf.KeySet, m *tuf.Metadata, looks int) (ids []tuf.KeyIdentity, looked int, known bool) {
	if s.many && m == nil {
		return nil, 0, false
	}
	var all tuf.SignatureSet
	if m != nil {
		all = m.SignatureSet()
	}
	known = true
	if !s.many {
		verify := all.Valid
		all = tuf.SignatureSet{
			Signatures: len(s.signatures),
			Looks:      s.looks,
			KeyID:      func(i int) string { return s.signatures[i].keyID.Value() },
			First:      func(i int) int { return int(s.signatures[i].first) },
			Valid: func(i int, key *tuf.Key) bool {
				valid, is := s.signatures[i].known(key)
				if is || m == nil {
					known = known && is
					return valid
				}
				valid = verify(i, key)
				s.signatures[i].learn(key, valid)
				return valid
			},
		}
	}
	all.Looks = min(all.Looks, looks)
	ids, looked = keys.Count(all)
	return ids, looked, known
}

func (c *signedCache) of(position int) *summary {
	if position < len(c.summaries) {
		return c.summaries[position]
	}
	return nil
}

func (c *signedCache) set(position int, s *summary) {
	for len(c.summaries) <= position {
		c.summaries = append(c.summaries, nil)
	}
	c.summaries[position] = s
}

// file returns the summary of a file that is judged and may soon be a record's.
func (c *signedCache) file(m *tuf.Metadata) *summary {
	if s := c.pending[m.FileDigest]; s != nil {
		return s
	}
	if c.pending == nil || len(c.pending) >= maxPending {
		c.pending = map[tuf.Digest]*summary{}
	}
	s := summarize(m)
	c.pending[m.FileDigest] = s
	return s
}

// logged says that a file has become a record's.
func (c *signedCache) logged(position int, file tuf.Digest) *summary {
	s := c.pending[file]
	if s != nil {
		c.set(position, s)
		delete(c.pending, file)
	}
	return s
}

// summary returns the summary of a record's file.
func (r *Repository) summary(ctx context.Context, position int) (*summary, error) {
	if s := r.signed.of(position); s != nil {
		return s, nil
	}
	_, err := r.read(ctx, position)
	return r.signed.of(position), err
}

// signers returns which keys of a set have signed the file of a record.
func (r *Repository) signers(ctx context.Context, position int, keys tuf.KeySet) ([]tuf.KeyIdentity, error) {
	if s := r.signed.of(position); s != nil {
		if ids, _, known := s.signers(keys, nil, s.looks); known {
			return ids, nil
		}
	}
	m, err := r.read(ctx, position)
	if err != nil {
		return nil, err
	}
	s := r.signed.of(position)
	ids, _, _ := s.signers(keys, m, s.looks)
	if _, ok := r.files.get(m.FileDigest, false); !ok && keys.MetBy(len(ids)) {
		r.keepDelegations(m, false) // they are likely to be asked for next
	}
	return ids, nil
}

// stands reports whether a record's signers meet keys. Roots always stand.
func (r *Repository) stands(ctx context.Context, position int, keys tuf.KeySet) (bool, error) {
	if r.records[position].Leaf.Role == tuf.RoleRoot {
		return true, nil
	}
	ids, err := r.signers(ctx, position, keys)
	return err == nil && keys.MetBy(len(ids)), err
}

// meets reports whether a snapshot meets keys, and remembers it: one may come
// beside thousands of files.
func (r *Repository) meets(snapshot *tuf.Metadata, keys tuf.KeySet) bool {
	c, v := &r.signed, verdict{snapshot.FileDigest, keys.Fingerprint()}
	meets, known := c.verdicts[v]
	if !known {
		meets = snapshot.Meets(keys) == nil
		if c.verdicts == nil || len(c.verdicts) >= maxVerdicts {
			c.verdicts = map[verdict]bool{}
		}
		c.verdicts[v] = meets
	}
	return meets
}
