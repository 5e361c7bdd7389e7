package tuf

import "sync"

// checks are signatures of a file that have been checked already.
type checks struct {
	mu    sync.Mutex
	known []check
}

// check is whether a key made a signature of the file. Nothing else decides that: the
// payload and the signature are the file's, identity and scheme say which function of
// them verifies.
type check struct {
	signature int
	key       KeyIdentity
	scheme    string
	valid     bool
}

// maxChecks is how many checks are remembered of a file.
const maxChecks = 64

func (c *checks) of(signature int, key *Key) (valid, known bool) {
	identity, _ := key.Identity()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.known {
		if k.signature == signature && k.key == identity && k.scheme == key.Scheme {
			return k.valid, true
		}
	}
	return false, false
}

func (c *checks) add(signature int, key *Key, valid bool) {
	identity, _ := key.Identity()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) < maxChecks {
		c.known = append(c.known, check{signature, identity, key.Scheme, valid})
	}
}

// Check checks the signatures of m that Signers would check for the set, and remembers
// which of them are valid: what is asked of m about the same keys afterwards need not
// check them again. It does not change any answer. It may be called from several
// goroutines, also while m is asked.
func (m *Metadata) Check(ks KeySet) {
	set := m.SignatureSet()
	valid := set.Valid
	set.Valid = func(i int, key *Key) bool {
		is, known := m.checks.of(i, key)
		if !known {
			is = valid(i, key)
			m.checks.add(i, key, is)
		}
		return is
	}
	ks.Count(set)
}
