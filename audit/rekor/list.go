package rekor

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"github.com/sigstore/rekor/pkg/generated/client/entries"
	index "github.com/sigstore/rekor/pkg/generated/client/index"
	"github.com/sigstore/rekor/pkg/generated/client/tlog"
	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// retrieved is how many entries Rekor v1 returns to one request.
const retrieved = 10

// maxFailed is how many entries one after the other an instance may fail to give before nothing more is
// asked for.
const maxFailed = 100

// MaxListed is how many entries under a key are read of an index, which is as many as maxIndex has
// room for.
const MaxListed = 200_000

// entryUUID is the hash of a leaf in hex, perhaps after the id of its tree.
var entryUUID = regexp.MustCompile(`^([0-9a-f]{16})?[0-9a-f]{64}$`)

// Listed is an entry of a v1 instance that its index lists under a key.
type Listed struct {
	// Leaf is the hash of the entry's leaf, which is the end of its UUID. It stands for all that
	// the entry says: digest, signature and key.
	Leaf proofs.Hash
	// Anchor is nil if the entry is of another kind than this package looks for.
	Anchor *Anchor
}

// List yields the entries that a v1 instance says it has under the key, in the order in which it
// lists them, each verified. Those that known reports are not asked for and not yielded: what a
// leaf says does not change. A nil known reports none. An entry that is not what it has to be is an
// error in its place, after which the next follows; after an error of a request nothing follows.
// It is ErrTooMany if the index lists more than MaxListed entries. The list of an instance is not
// proved: what it leaves out is not missed.
func (i *Instance) List(ctx context.Context, key proofs.Key, known func(leaf proofs.Hash) bool) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		fail := func(err error) bool { return yield(Listed{}, fmt.Errorf("list %s: %w", i.cfg.Name, err)) }
		if i.cfg.Version != 1 {
			fail(errors.New("rekor v2 has no index to list: Scan reads its entries"))
			return
		}
		k, err := newLogKey(key)
		if err != nil {
			fail(err)
			return
		}
		ids, err := i.search(ctx, k)
		if err != nil {
			fail(err)
			return
		}
		if known != nil {
			ids = slices.DeleteFunc(ids, func(id string) bool { return known(leafOf(id)) })
		}
		failed := 0 // one after the other
		for some := range slices.Chunk(ids, retrieved) {
			found, err := i.retrieve(ctx, some)
			if err != nil {
				fail(err)
				return
			}
			for _, id := range some {
				got := found[leafOf(id)]
				l, err := Listed{}, got.err
				if failed++; err == nil {
					failed = 0
					l, err = i.listed(k, leafOf(id), got.entry)
				}
				if err != nil {
					if !fail(fmt.Errorf("entry %s: %w", id, misbehaved(err))) || failed == maxFailed {
						return
					}
				} else if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// search asks for the UUIDs of the entries under a key, each leaf once.
func (i *Instance) search(ctx context.Context, k logKey) ([]string, error) {
	format := models.SearchIndexPublicKeyFormatX509
	params := index.NewSearchIndexParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout).
		WithQuery(&models.SearchIndex{PublicKey: &models.SearchIndexPublicKey{Format: &format, Content: (&body{der: k.der}).pem()}})
	got, err := i.v1.Index.SearchIndexContext(bound(ctx, maxIndex), params)
	if errors.Is(err, fetch.ErrTooLarge) { // anyone can make that many entries: the instance is not to blame
		return nil, ErrTooMany
	}
	if err != nil {
		return nil, answered(ctx, err)
	}
	if len(got.Payload) > MaxListed {
		return nil, ErrTooMany
	}
	seen := map[proofs.Hash]bool{}
	var ids []string
	for _, id := range got.Payload {
		if !entryUUID.MatchString(id) {
			return nil, fmt.Errorf("%w: its index lists %.100q, which is not the UUID of an entry", ErrMisbehaved, id)
		}
		if leaf := leafOf(id); !seen[leaf] {
			seen[leaf] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// got is what the instance answers for an entry.
type got struct {
	entry json.RawMessage
	err   error // nil: it is there
}

// retrieve asks for entries, and returns what it got by the hashes of their leaves. Where the answer for
// several is too large, or the instance fails to give it, it asks for each: strangers may have put
// a large one under the key, which keeps nothing else from being read. The error means that the
// instance does not answer.
func (i *Instance) retrieve(ctx context.Context, ids []string) (map[proofs.Hash]got, error) {
	found := map[proofs.Hash]got{}
	some, err := i.retrieveOnce(ctx, ids, maxAnswer)
	if err == nil {
		for leaf, entry := range some {
			found[leaf] = got{entry: entry}
		}
		return found, nil
	}
	if !ofEntry(err) {
		return nil, err
	}
	for _, id := range ids {
		one, err := i.retrieveOnce(ctx, []string{id}, maxAlone)
		if err != nil && !ofEntry(err) {
			return nil, err
		}
		found[leafOf(id)] = got{one[leafOf(id)], err}
	}
	return found, nil
}

// ofEntry reports whether an error of a request may be one of the entries that it asked for, so that a request
// for others may succeed.
func ofEntry(err error) bool {
	return errors.Is(err, fetch.ErrTooLarge) || errors.Is(err, errInternal)
}

func (i *Instance) retrieveOnce(ctx context.Context, ids []string, max int64) (map[proofs.Hash]json.RawMessage, error) {
	params := entries.NewSearchLogQueryParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout).
		WithEntry(&models.SearchLogQuery{EntryUUIDs: ids})
	got, err := i.v1.Entries.SearchLogQueryContext(bound(ctx, max), params)
	if err != nil {
		return nil, answered(ctx, err)
	}
	found := map[proofs.Hash]json.RawMessage{}
	for _, answer := range got.Payload {
		for id, e := range answer {
			if !entryUUID.MatchString(id) {
				return nil, fmt.Errorf("%w: it returns the entry %.100q", ErrMisbehaved, id)
			}
			if found[leafOf(id)], err = json.Marshal(e); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrMisbehaved, err)
			}
		}
	}
	return found, nil
}

// leafOf returns the hash of the leaf in a UUID that entryUUID matches.
func leafOf(id string) (leaf proofs.Hash) {
	b, _ := hex.DecodeString(id[len(id)-2*len(leaf):]) // of hex digits
	return proofs.Hash(b)
}

// listed verifies an entry that the index lists under a key.
func (i *Instance) listed(k logKey, leaf proofs.Hash, entry json.RawMessage) (Listed, error) {
	if entry == nil {
		return Listed{}, errors.New("the index lists it, and it is not there")
	}
	// Who remembers that it is of another kind does not ask for it again: so its leaf is compared first.
	body, err := leafIn(entry)
	if err != nil {
		return Listed{}, fmt.Errorf("it returns no leaf: %w", err)
	}
	if is := proofs.LeafHash(body); is != leaf {
		return Listed{}, fmt.Errorf("it returns another leaf, %x", is[:])
	}
	// Anyone can have an entry listed under any key, with a certificate that has what the index calls
	// the key for one of its names: it may be of any size, and of a kind that is not known here.
	if isStrangers(body) {
		return Listed{Leaf: leaf}, nil
	}
	a, b, err := checkV1(entry, i.cfg.Keys, i.cfg.Origin)
	if errors.Is(err, errOther) {
		return Listed{Leaf: leaf}, nil
	}
	if err != nil {
		return Listed{}, err
	}
	if !bytes.Equal(b.der, k.der) {
		return Listed{}, errors.New("the index lists it under a key that is not its own")
	}
	return Listed{leaf, a}, nil
}

// followV1 returns the larger of a checkpoint and that of the instance. If the instance has begun
// another tree meanwhile, the older tree has to end as it says.
func (i *Instance) followV1(ctx context.Context, from string) (string, error) {
	got, err := i.v1.Tlog.GetLogInfoContext(bound(ctx, maxAnswer), tlog.NewGetLogInfoParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout))
	if err != nil {
		return "", answered(ctx, err)
	}
	if got.Payload == nil || got.Payload.SignedTreeHead == nil {
		return "", fmt.Errorf("%w: it answers without a checkpoint", ErrMisbehaved)
	}
	now, err := i.headV1(*got.Payload.SignedTreeHead)
	if err != nil {
		return "", misbehaved(err)
	}
	if from == "" {
		return now.signed, nil
	}
	then, err := i.headV1(from)
	if err != nil {
		return "", fmt.Errorf("the position: %w", err)
	}
	end := now
	if now.origin != then.origin {
		if end, err = i.endedV1(got.Payload.InactiveShards, then.origin); err != nil {
			return "", misbehaved(err)
		}
	}
	older, newer := then, end
	if end.tree.N < then.tree.N {
		older, newer = end, then
	}
	if err := i.consistentV1(ctx, older, newer); err != nil {
		return "", err
	}
	if end == now {
		return newer.signed, nil
	}
	return now.signed, nil
}

// headV1 is a verified checkpoint of a v1 instance.
type headV1 struct {
	signed, origin string
	tree           proofs.Tree
}

func (i *Instance) headV1(signed string) (*headV1, error) {
	c, err := openV1(signed, i.cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("rekor's checkpoint: %w", err)
	}
	if !hasOrigin(c.Origin, i.cfg.Origin) {
		return nil, fmt.Errorf("rekor's checkpoint: %w", &OriginError{c.Origin, i.cfg.Origin})
	}
	return &headV1{signed, c.Origin, c.Tree}, nil
}

// endedV1 returns the last checkpoint of a tree that the instance no longer appends to.
func (i *Instance) endedV1(shards []*models.InactiveShardLogInfo, origin string) (*headV1, error) {
	for _, shard := range shards {
		if shard == nil || shard.SignedTreeHead == nil {
			continue
		}
		if h, err := i.headV1(*shard.SignedTreeHead); err == nil && h.origin == origin {
			return h, nil
		}
	}
	return nil, fmt.Errorf("it no longer has the tree of %.100q", origin)
}

// consistentV1 asks for a proof that a tree begins with an older one of the same origin.
func (i *Instance) consistentV1(ctx context.Context, older, newer *headV1) error {
	if older.tree == newer.tree {
		return nil
	}
	fork := func(err error) error { return &ForkError{Older: older.signed, Newer: newer.signed, Err: err} }
	if older.tree.N == newer.tree.N {
		return fork(fmt.Errorf("two roots of size %d", newer.tree.N))
	}
	if older.tree.N == 0 {
		return nil
	}
	first, id := older.tree.N, fmt.Sprint(treeID(older.origin))
	params := tlog.NewGetLogProofParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout).
		WithFirstSize(&first).WithLastSize(newer.tree.N).WithTreeID(&id)
	got, err := i.v1.Tlog.GetLogProofContext(bound(ctx, maxEntry), params)
	if err != nil {
		return answered(ctx, err)
	}
	if got.Payload == nil || len(got.Payload.Hashes) > 2*proofs.MaxProofHashes {
		return fmt.Errorf("%w: it answers without a proof of consistency", ErrMisbehaved)
	}
	var path []proofs.Hash
	for _, text := range got.Payload.Hashes {
		h, err := hex.DecodeString(text)
		if err != nil || len(h) != len(proofs.Hash{}) {
			return fmt.Errorf("%w: it answers with the hash %.100q", ErrMisbehaved, text)
		}
		path = append(path, proofs.Hash(h))
	}
	if err := proofs.VerifyConsistency(older.tree, newer.tree, path); err != nil {
		return fork(err)
	}
	return nil
}
