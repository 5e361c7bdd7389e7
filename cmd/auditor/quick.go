package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of a quick lookup.
const (
	quickTime = 30 * time.Second
	// maxProved is how many leaves of each kind are proved. The index may name thousands.
	maxProved = 16
)

// quick asks the index of a log, and proves what it says. The index may leave anything out.
type quick struct {
	client *api.Client
	policy *proofs.Policy
	lookup *lookup.Lookup
	newest *proofs.SignedCheckpoint
	behind int64
	cut    bool // the index has more leaves than it told
}

// askIndex fills a lookup with what the index of the log at url says.
func askIndex(ctx context.Context, url string, policy *proofs.Policy, l *lookup.Lookup) (basis, error) {
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	q := &quick{client: &api.Client{Base: url}, policy: policy, lookup: l}
	found, err := q.named(ctx)
	if err != nil {
		return basis{}, err
	}
	for _, index := range found {
		if err := q.prove(ctx, index); err != nil {
			return basis{}, err
		}
	}
	if q.newest == nil {
		if err := q.checkpoint(ctx, url); err != nil {
			return basis{}, err
		}
	}
	on := basis{index: true, behind: q.behind, cut: q.cut}
	if q.newest != nil {
		on.checkpoint = audit.ReportOf(q.newest, q.newest.Note.Marshal())
	}
	return on, nil
}

// named returns the entries that the index names, of which the newest of each kind.
func (q *quick) named(ctx context.Context) ([]int64, error) {
	var targets []api.Listing
	take := func(l *api.Listings, err error) error {
		if err == nil {
			targets = append(targets, l.Targets...)
			q.behind = max(q.behind, l.Behind)
			q.cut = q.cut || l.More
		}
		return err
	}
	of, l := q.lookup.Query, q.lookup
	var leaves []api.Leaf
	if !of.SHA256.IsZero() {
		found, err := q.client.Lookup(ctx, of.SHA256.String())
		if err != nil {
			return nil, err
		}
		leaves = found.Leaves
		if err := take(&api.Listings{Targets: found.Targets, Behind: found.Behind, More: found.More}, nil); err != nil {
			return nil, err
		}
	}
	if of.SHA512 != "" {
		if err := take(q.client.LookupSHA512(ctx, of.SHA512)); err != nil {
			return nil, err
		}
	}
	if of.Path != "" && of.SHA256.IsZero() && of.SHA512 == "" {
		if err := take(q.client.LookupPath(ctx, of.Path)); err != nil {
			return nil, err
		}
	}
	kinds := map[string][]int64{}
	elsewhere := map[int64]bool{}
	for _, t := range targets {
		id, err := tuf.ParseDigest(t.Repository)
		if err != nil {
			return nil, fmt.Errorf("the log's index: repository %q: %w", t.Repository, err)
		}
		if !l.Counts(id) {
			elsewhere[t.Index] = true
			continue
		}
		kinds[t.Kind] = append(kinds[t.Kind], t.Index)
	}
	for _, named := range leaves {
		kinds["named"] = append(kinds["named"], named.Index)
	}
	l.Elsewhere = len(elsewhere)
	var all []int64
	for _, indices := range kinds {
		slices.Sort(indices)
		indices = slices.Compact(indices)
		all = append(all, indices[max(0, len(indices)-maxProved):]...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// prove adds the answers of an entry.
func (q *quick) prove(ctx context.Context, index int64) error {
	proof, err := q.client.EntryProof(ctx, index)
	if err != nil {
		return err
	}
	at, entry, _, err := lookup.Entry(q.policy, proof)
	switch {
	case err != nil:
		return fmt.Errorf("the proof of entry %d: %w", index, err)
	case at != index:
		return fmt.Errorf("the proof of entry %d is that of entry %d", index, at)
	case entry.Kind != leaf.Release && entry.Kind != leaf.Evidence:
		return fmt.Errorf("entry %d is of kind %q, which this auditor does not know", index, entry.Kind)
	}
	file, err := q.client.Blob(ctx, entry.Metadata.String())
	if err != nil {
		return err
	}
	c, err := q.lookup.Add(q.policy, proof, file)
	if err != nil {
		return err
	}
	if q.newest == nil || c.Tree.N > q.newest.Tree.N {
		q.newest = c
	}
	return nil
}

// checkpoint reads the newest one: up to it the index knows nothing.
func (q *quick) checkpoint(ctx context.Context, url string) error {
	src, err := source.NewHTTP(url, nil)
	if err != nil {
		return err
	}
	signed, err := src.For(q.policy).Checkpoint(ctx)
	if errors.Is(err, audit.ErrNothingPublished) {
		return nil
	}
	if err != nil {
		return err
	}
	q.newest, err = q.policy.OpenCheckpoint(signed)
	return err
}
