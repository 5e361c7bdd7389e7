package audit

import (
	"sync"

	"github.com/tuflog/tuflog/tuf"
)

// likelyKeys are the keys with which roles were signed last. Whoever reads ahead checks
// signatures by them. They decide nothing: a judgement asks for the keys that count, and
// checks what has not been checked. The zero value knows none; it is safe for concurrent
// use.
type likelyKeys struct {
	mu    sync.Mutex
	sets  map[roleOf]tuf.KeySet
	bytes int
}

type roleOf struct {
	repository tuf.Digest
	role       string
}

// maxLikely is how many bytes they take, about. When there are more, all are forgotten:
// they come back with the next leaves.
const maxLikely = 8 << 20

// learn notes the keys of a role.
func (k *likelyKeys) learn(repository tuf.Digest, role string, keys tuf.KeySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := roleOf{repository, role}
	old, known := k.sets[at]
	if known && old.Fingerprint() == keys.Fingerprint() {
		return
	}
	size := keys.Memory()
	if k.bytes+size > maxLikely || k.sets == nil {
		k.sets, k.bytes = map[roleOf]tuf.KeySet{}, 0
	}
	if size <= maxLikely/16 {
		k.sets[at] = keys.Clone()
		k.bytes += size
	}
}

// learnRoot notes the keys of all roles of a root.
func (k *likelyKeys) learnRoot(repository tuf.Digest, root *tuf.Root) {
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		k.learn(repository, role, root.KeySet(role))
	}
}

func (k *likelyKeys) of(repository tuf.Digest, role string) (tuf.KeySet, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, ok := k.sets[roleOf{repository, role}]
	return keys, ok
}

// check checks the signatures of a leaf's files by the keys that are likely to count.
func (k *likelyKeys) check(l *loaded) {
	keys, known := k.of(l.leaf.Repository, l.leaf.Role)
	if known {
		l.metadata.Check(keys)
	}
	if root := l.metadata.Root; root != nil {
		l.metadata.Check(root.KeySet(tuf.RoleRoot))
		if !known {
			k.learnRoot(l.leaf.Repository, root) // leaves that follow soon are signed by its keys
		}
	}
	if l.snapshot == nil {
		return
	}
	if keys, known := k.of(l.leaf.Repository, tuf.RoleSnapshot); known {
		l.snapshot.Check(keys)
	}
}
