package client

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// Plan is what a root has to change so that gates are needed.
type Plan struct {
	Root      int64    `json:"root"`      // the version that is in force
	Own       []string `json:"own"`       // ids of the keys that may sign the timestamp now, gates' left out
	Gates     []Key    `json:"gates"`     // that may sign it then
	New       []Key    `json:"new"`       // those of them that the root lacks
	Needed    int      `json:"needed"`    // of the gates, k
	Before    int      `json:"before"`    // threshold
	Threshold int      `json:"threshold"` // 1 + k
	KeyIDs    []string `json:"keyids"`    // of the role timestamp then
	// Alone are sentences about sets of keys that could sign a timestamp without what the plan
	// is for: thresholds count keys and cannot say "and".
	Alone []string `json:"alone"`
}

// Changed reports whether the root has to change at all.
func (p *Plan) Changed() bool { return len(p.New) > 0 || p.Before != p.Threshold }

// NewPlan says what has to change in a root so that a timestamp needs one key of the vendor's
// and k of the gates'.
func NewPlan(root *tuf.Metadata, gates []Key, k int) (*Plan, error) {
	if root.Root == nil {
		return nil, fmt.Errorf("it is %s metadata", root.Type)
	}
	if k < 1 || k > len(gates) {
		return nil, fmt.Errorf("%d of %d gates: want 1 to %d", k, len(gates), len(gates))
	}
	keys := root.Root.KeySet(tuf.RoleTimestamp)
	p := &Plan{Root: root.Version, Gates: gates, Needed: k, Before: keys.Threshold(), Threshold: 1 + k}
	seen := map[tuf.KeyIdentity]bool{}
	for _, g := range gates {
		id := g.Identity()
		if seen[id] {
			return nil, fmt.Errorf("the gate's key %s is there twice", g.KeyVal.Public)
		}
		seen[id] = true
		if len(keys.IDs(id)) == 0 {
			p.New = append(p.New, g)
		}
	}
	for _, k := range p.New {
		p.KeyIDs = append(p.KeyIDs, k.KeyID)
	}
	for _, id := range keys.Identities() {
		p.KeyIDs = append(p.KeyIDs, keys.IDs(id)...)
		if !seen[id] {
			p.Own = append(p.Own, keys.IDs(id)[0])
		}
	}
	slices.Sort(p.Own)
	slices.Sort(p.KeyIDs)
	own := len(p.Own)
	if own == 0 {
		return nil, errors.New("the root names no key for the timestamp that is not a gate's: gates sign what a vendor has signed")
	}
	if p.Threshold <= len(gates) {
		p.Alone = append(p.Alone, fmt.Sprintf("%d of the %d gates together could sign a timestamp without you. They can make no release: the snapshot and the targets need your keys. They could give clients an older set of your files for as long as those have not expired.", p.Threshold, len(gates)))
	}
	if own > 1 {
		p.Alone = append(p.Alone, fmt.Sprintf("The role has %d keys of yours: with all of them %d gates are enough. Leave one, or want %d signatures, which always takes %d gates where all of your keys sign.", own, max(0, p.Threshold-own), own+k, k))
	}
	return p, nil
}
