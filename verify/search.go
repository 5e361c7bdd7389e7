package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Limits are the largest numbers of bytes of a role's file that a device accepts.
// TUF requires limits, because a mirror could send forever. Zero: MaxFileSize, the
// limit of a log.
type Limits struct {
	Root, Timestamp, Snapshot, Targets int64 // Targets: of a delegated role as well
}

// of is the limit for a role's file.
func (l Limits) of(role string) int64 {
	limit := l.Targets
	switch role {
	case tuf.RoleRoot:
		limit = l.Root
	case tuf.RoleTimestamp:
		limit = l.Timestamp
	case tuf.RoleSnapshot:
		limit = l.Snapshot
	}
	if limit <= 0 {
		return tuf.MaxFileSize
	}
	return min(limit, tuf.MaxFileSize)
}

// Request names a file of a repository's metadata.
type Request struct {
	Role      string
	Delegator string // the role that delegates to it; "" for top-level roles
	Version   int64  // the version in the file's name; 0: the name has none
	Listed    int64  // the version that the file must have; 0: any, of the timestamp
	Suffix    string // SidecarSuffix or LatestSuffix for a proof beside the file
	MaxLength int64  // the most bytes to accept
}

// FileName returns the file's name in the repository, such as
// "14.targets.json".
func (r Request) FileName() string { return r.prefix() + r.Role + ".json" + r.Suffix }

// URLName is the file's name as the last segment of a URL: FileName with all but
// ALPHA DIGIT - . _ ~ of the role percent-encoded.
func (r Request) URLName() string { return r.prefix() + tuf.EscapeRole(r.Role) + ".json" + r.Suffix }

func (r Request) prefix() string {
	if r.Version == 0 {
		return ""
	}
	return strconv.FormatInt(r.Version, 10) + "."
}

// rootRequest asks for a version of the root; the names of roots always have it.
func (c *Client) rootRequest(version int64) Request {
	return Request{Role: tuf.RoleRoot, Version: version, Listed: version, MaxLength: c.cfg.Limits.of(tuf.RoleRoot)}
}

func (c *Client) snapshotRequest() Request {
	return c.listedRequest(tuf.RoleSnapshot, "", c.timestamp.Timestamp.Snapshot())
}

func (c *Client) targetsRequest(role, delegator string) (Request, error) {
	listed, ok := c.snapshot.Snapshot.File(role + ".json")
	if !ok {
		return Request{}, refusal(CodeBadMetadata, role, nil, "snapshot %d does not list it", c.snapshot.Version)
	}
	return c.listedRequest(role, delegator, listed), nil
}

func (c *Client) listedRequest(role, delegator string, f tuf.MetaFile) Request {
	r := Request{Role: role, Delegator: delegator, Listed: f.Version, MaxLength: c.cfg.Limits.of(role)}
	if f.Length >= 0 {
		r.MaxLength = min(f.Length, r.MaxLength)
	}
	if c.root.Root.ConsistentSnapshot {
		r.Version = f.Version
	}
	return r
}

// ErrNotListed is wrapped if no role that is trusted for a target lists it.
var ErrNotListed = errors.New("no role that is trusted for it lists it")

// Lookup is the result of a search for a target.
type Lookup struct {
	// Target describes the target; nil if it was not found.
	Target *tuf.TargetFile
	// Name is its path below the base URL of the repository's targets: its own path, or,
	// in a repository with consistent snapshots, with a hash before the last segment.
	// Empty if it is listed without the SHA-256 or SHA-512 hash that this takes.
	Name string
	// Role is the role that lists it.
	Role string
	// Visited lists the roles that were searched, in order.
	Visited []string
	// Truncated reports whether roles were left to visit after MaxRoles.
	Truncated bool
	// Need is the delegated role that stopped the search because it could not be
	// fetched or was refused; otherwise nil.
	Need *Request
}

// Locate searches for a target by its path, as in TUF 5.6.7, and brings the visited
// delegated roles up to date. The error for a target that is not listed is a
// *Refusal with CodeNotListed, and wraps ErrNotListed if all roles were searched. If a
// delegated role's newer release waits, the error says so, and Target may be that of the
// release which the device has accepted before. A file that passes a TargetCheck is the
// target; store State before the target is used.
func (c *Client) Locate(ctx context.Context, path string) (Lookup, error) {
	for {
		found, err := c.find(path)
		switch {
		case err != nil:
			return found, err
		case found.Target != nil:
			found.Name = targetName(path, *found.Target, c.root.Root.ConsistentSnapshot)
			return found, c.whyStood(found.Visited)
		case found.Need != nil:
			if err := c.refreshDelegated(ctx, *found.Need); err != nil && c.targets[found.Need.Role] == nil {
				return found, err
			}
		case c.whyStood(found.Visited) != nil:
			return found, c.whyStood(found.Visited)
		case found.Truncated:
			return found, refusal(CodeNotListed, "", nil, "it is in none of the first %d roles: %s", len(found.Visited), strings.Join(found.Visited, ", "))
		default:
			return found, &Refusal{Code: CodeNotListed, Err: fmt.Errorf("%w (searched: %s)", ErrNotListed, strings.Join(found.Visited, ", "))}
		}
	}
}

// Delegated brings up to date every delegated role that the snapshot lists, breadth
// first, and calls each with the result: all roles are checked, even if one is
// refused or missing. An error from each ends it.
func (c *Client) Delegated(ctx context.Context, each func(Request, error) error) error {
	if c.targets[tuf.RoleTargets] == nil {
		return errNoTargets
	}
	seen := map[string]bool{}
	for queue := []string{tuf.RoleTargets}; len(queue) > 0; queue = queue[1:] {
		delegator := queue[0]
		for _, role := range c.targets[delegator].Targets.Delegations.Names() {
			if _, listed := c.snapshot.Snapshot.File(role + ".json"); seen[role] || !listed {
				continue
			}
			seen[role] = true
			request, err := c.targetsRequest(role, delegator)
			if err == nil && c.targets[role] == nil {
				err = c.refreshDelegated(ctx, request)
			}
			if c.targets[role] != nil {
				queue = append(queue, role)
			}
			if err := each(request, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// Role brings a delegated role up to date and returns its trusted file, for programs that
// search for targets themselves. It is nil if no targets that are trusted so far delegate to
// the role. Of several delegators that do, those are asked in the order of their names until
// one has keys that the role's file is signed with. If a newer release of the role waits, the
// error says so, and the file may be that which the device has accepted before.
func (c *Client) Role(ctx context.Context, role string) (*tuf.Metadata, error) {
	if m := c.targets[role]; m != nil {
		return m, c.whyStood([]string{role})
	}
	var refused error
	for _, delegator := range slices.Sorted(maps.Keys(c.targets)) {
		if _, _, ok := c.targets[delegator].Targets.Delegations.Find(role); !ok {
			continue
		}
		request, err := c.targetsRequest(role, delegator)
		if err == nil {
			err = c.refreshDelegated(ctx, request)
		}
		if c.targets[role] != nil { // a newer release may wait
			return c.targets[role], err
		}
		if refused = err; !isRefusal(err) {
			break
		}
	}
	return nil, refused
}

// errNoTargets is the error of a search before the top-level targets are trusted.
var errNoTargets = errors.New("client: no targets are trusted yet")

// find searches the trusted targets for a target's path: pre-order and depth first, in
// the order of the delegations, each role once (TUF 5.6.7). It is called again after
// every role that it needs. A *Refusal ends the search: what a delegation names cannot be
// trusted.
func (c *Client) find(path string) (Lookup, error) {
	type visit struct{ role, delegator string }
	var found Lookup
	if c.targets[tuf.RoleTargets] == nil {
		return found, errNoTargets
	}
	stack := []visit{{tuf.RoleTargets, ""}}
	for len(stack) > 0 {
		next := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if slices.Contains(found.Visited, next.role) {
			continue
		}
		if len(found.Visited) >= c.cfg.MaxRoles {
			found.Truncated = true
			return found, nil
		}
		m := c.targets[next.role]
		if m == nil {
			need, err := c.targetsRequest(next.role, next.delegator)
			if err != nil {
				return found, err
			}
			found.Need = &need
			return found, nil
		}
		if err := c.alsoDelegated(next.role, next.delegator, m); err != nil {
			return found, err
		}
		found.Visited = append(found.Visited, next.role)
		if target, ok := m.Targets.File(path); ok {
			found.Target, found.Role = &target, next.role
			return found, nil
		}
		children := m.Targets.Delegations.For(path)
		if n := len(children); n > 0 && (children[n-1].Terminating || m.Targets.Delegations.Succinct != nil) {
			// Whoever enters a terminating delegation does not come back.
			stack = nil
		}
		for _, child := range slices.Backward(children) {
			stack = append(stack, visit{child.Name, next.role})
		}
	}
	return found, nil
}

// alsoDelegated refuses a role that was accepted under the keys of one delegator and
// is now reached through another, if the other's keys did not sign it or signed
// another payload of its version before.
func (c *Client) alsoDelegated(role, delegator string, m *tuf.Metadata) error {
	if delegator == "" {
		return nil
	}
	_, keys, _ := c.targets[delegator].Targets.Delegations.Find(role)
	signers, err := checkSigned(role, m, keys, c.keysOf(delegator))
	if err != nil {
		return err
	}
	if err := c.contradicted(role, delegator, m, keys); err != nil {
		return err
	}
	if c.cfg.Transparency != Enforce {
		return nil
	}
	return c.remember(role, delegator, m, signers)
}
