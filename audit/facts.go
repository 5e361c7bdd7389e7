package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// This file keeps what findings remember of a repository, beside its leaves. What follows
// from the leaves alone is not kept: it is made again when the repository is read. The
// rest is facts, each under a name that begins with what it is about:
//
//	key/ID            the digest of a key and its id, which have been looked at
//	shared/ID         a sentence on roles that share keys
//	together/V/ROLE   a version of which several payloads were found to stand
//	handed/ROLE       the thresholds of the roles to which a role delegates
//	sharing/ROLE      the groups of keys of these
//	says/ROLE         the digest of what the newest release of a role says of delegations
//	life/ROLE         until when the last release is valid
//	forked/ID         a repository with a root that devices of this one take, or the reverse
//	past              keys that were removed
//	snapshot, asked, rekeyed
//	odd               it is not in good order: see held.go
//
// Who adds a finding that remembers something adds a name to restore, and calls fact
// where it changes.

const oddName = "odd"

// newRepository returns a repository of which nothing is remembered.
func newRepository(repo *admit.Repository, genesis int64) *repository {
	return &repository{
		Repository: repo,
		genesis:    genesis,
		roles:      map[string]*roleState{},
		keys:       map[tuf.Digest]bool{},
		handed:     map[string]map[string]int{},
		together:   map[roleVersion]bool{},
		sharing:    map[string][]*keyGroup{},
		says:       map[string]tuf.Digest{},
		shared:     map[tuf.Digest]bool{},
		lives:      map[string]*lifetime{},
		forked:     map[tuf.Digest]bool{},
		facts:      map[string]any{},
	}
}

// fact notes that a fact is to be kept; nil: that it is to be forgotten. What a pointer or
// a map points to is read when the repository is kept.
func (r *repository) fact(name string, value any) {
	if r.facts != nil {
		r.facts[name] = value
	}
}

// factOf is the name of a fact about a role.
func factOf(about, role string) string { return string(tuf.AppendRole([]byte(about+"/"), role)) }

// keep writes what is new of a repository.
func (a *Auditor) keep(ctx context.Context, r *repository) error {
	if r.touched {
		if err := a.db.SetReport(ctx, r.ID(), nil); err != nil {
			return err
		}
		r.touched = false
	}
	for _, name := range slices.Sorted(maps.Keys(r.facts)) {
		value := r.facts[name]
		if value == nil {
			if err := a.db.RemoveFact(ctx, r.ID(), name); err != nil {
				return err
			}
			continue
		}
		b, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := a.db.SetFact(ctx, r.ID(), name, b); err != nil {
			return err
		}
	}
	clear(r.facts)
	return nil
}

// facts are what is kept of a repository, as it is read.
type facts struct {
	names  []string
	values [][]byte
	odd    bool
}

func readFacts(ctx context.Context, db *state.DB, id tuf.Digest) (*facts, error) {
	f := &facts{}
	err := db.Facts(ctx, id, func(name string, value []byte) error {
		f.names, f.values = append(f.names, name), append(f.values, value)
		f.odd = f.odd || name == oddName
		return nil
	})
	return f, err
}

// counted reports whether it is kept how many releases each role has.
func (f *facts) counted() bool {
	for i, name := range f.names {
		var known lifetime
		if strings.HasPrefix(name, "life/") && (json.Unmarshal(f.values[i], &known) != nil || known.Releases == 0) {
			return false
		}
	}
	return true
}

// restore takes over what was kept.
func (f *facts) restore(r *repository) error {
	for i, name := range f.names {
		if err := r.restored(name, f.values[i]); err != nil {
			return &state.Error{Err: fmt.Errorf("%w: %s: %w", state.ErrDamaged, name, err)}
		}
	}
	return nil
}

func (r *repository) restored(name string, value []byte) error {
	about, rest, _ := strings.Cut(name, "/")
	switch about {
	case "key":
		return restoreDigest(r.keys, rest)
	case "shared":
		return restoreDigest(r.shared, rest)
	case "forked":
		return restoreDigest(r.forked, rest)
	case "past":
		return json.Unmarshal(value, &r.past)
	case oddName:
		return json.Unmarshal(value, &r.odd)
	case "rekeyed":
		return json.Unmarshal(value, &r.rekeyed)
	case "snapshot":
		return json.Unmarshal(value, &r.snapshot)
	case "asked":
		return json.Unmarshal(value, &r.asked)
	case "together":
		version, of, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			return err
		}
		role, ok := tuf.UnescapeRole(of)
		if !ok {
			return errFact
		}
		var bound bool
		err = json.Unmarshal(value, &bound)
		r.together[roleVersion{role, n}] = bound
		return err
	}
	role, ok := tuf.UnescapeRole(rest)
	if !ok {
		return errFact
	}
	switch about {
	case "handed":
		return restoreValue(r.handed, role, value)
	case "sharing":
		if err := restoreValue(r.sharing, role, value); err != nil {
			return err
		}
		if slices.Contains(r.sharing[role], nil) {
			return errFact
		}
		return nil
	case "says":
		return restoreValue(r.says, role, value)
	case "life":
		life := &lifetime{}
		r.lives[role] = life
		return json.Unmarshal(value, life)
	}
	return errFact
}

var errFact = errors.New("not the name of a fact")

func restoreDigest(into map[tuf.Digest]bool, text string) error {
	sum, err := tuf.ParseDigest(text)
	if err == nil {
		into[sum] = true
	}
	return err
}

func restoreValue[V any](into map[string]V, role string, value []byte) error {
	var v V
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	into[role] = v
	return nil
}

// MarshalJSON prints a group as it is kept.
func (g *keyGroup) MarshalJSON() ([]byte, error) {
	k := keptGroup{Threshold: g.threshold, Roles: g.roles, Count: g.count}
	for key := range g.keys {
		k.Keys = append(k.Keys, key.String())
	}
	slices.Sort(k.Keys)
	return json.Marshal(k)
}

// UnmarshalJSON reads what MarshalJSON prints.
func (g *keyGroup) UnmarshalJSON(b []byte) error {
	var k keptGroup
	if err := json.Unmarshal(b, &k); err != nil {
		return err
	}
	*g = keyGroup{keys: map[tuf.KeyIdentity]bool{}, threshold: k.Threshold, roles: k.Roles, count: k.Count}
	for _, text := range k.Keys {
		id, err := tuf.ParseDigest(text)
		if err != nil {
			return err
		}
		g.keys[tuf.KeyIdentity(id)] = true
	}
	return nil
}

type keptGroup struct {
	Keys      []string `json:"keys"`
	Threshold int      `json:"threshold"`
	Roles     []string `json:"roles"`
	Count     int      `json:"count"`
}
