package verify

import (
	"errors"
	"slices"
	"strconv"

	"github.com/tuflog/tuflog/tuf"
)

// Limits are how many bytes a device takes at most of a role's file: TUF asks for
// some, because a mirror could go on sending for ever. Zero: MaxFileSize, which is
// what a log admits.
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

// Request says which metadata file to fetch.
type Request struct {
	Role      string
	Delegator string // who delegates to it; "" for top-level roles
	Version   int64  // the version in the file's name; 0: the name has none
	MaxLength int64  // the most bytes to accept
}

// FileName is the file's name in the repository, such as "14.targets.json".
func (r Request) FileName() string { return r.prefix() + r.Role + ".json" }

// URLName is the file's name as the last segment of a URL: FileName with all but
// ALPHA DIGIT - . _ ~ of the role percent-encoded.
func (r Request) URLName() string { return r.prefix() + tuf.EscapeRole(r.Role) + ".json" }

func (r Request) prefix() string {
	if r.Version == 0 {
		return ""
	}
	return strconv.FormatInt(r.Version, 10) + "."
}

// RequestFor says which file of a top-level role comes next: of the root the
// version after the last that was taken, of the snapshot and the targets the version
// that is listed.
func (c *Client) RequestFor(role string) (Request, error) {
	r := Request{Role: role, MaxLength: c.cfg.Limits.of(role)}
	switch {
	case role == tuf.RoleRoot:
		r.Version = c.next.Version + 1
	case role == tuf.RoleTimestamp:
	case role == tuf.RoleSnapshot && c.timestamp != nil:
		c.listed(&r, c.timestamp.Timestamp.Snapshot())
	case role == tuf.RoleTargets && c.snapshot != nil:
		return c.targetsRequest(role, "")
	default:
		return r, errors.New("client: nothing says yet which " + role + " comes next")
	}
	return r, nil
}

func (c *Client) targetsRequest(role, delegator string) (Request, error) {
	listed, ok := c.snapshot.Snapshot.File(role + ".json")
	if !ok {
		return Request{}, refusal(CodeBadMetadata, role, nil, "snapshot %d does not list it", c.snapshot.Version)
	}
	r := Request{Role: role, Delegator: delegator, MaxLength: c.cfg.Limits.of(role)}
	c.listed(&r, listed)
	return r, nil
}

func (c *Client) listed(r *Request, f tuf.MetaFile) {
	if f.Length >= 0 {
		r.MaxLength = min(f.Length, r.MaxLength)
	}
	if c.root.Root.ConsistentSnapshot {
		r.Version = f.Version
	}
}

// Lookup is how far a search for a target has come.
type Lookup struct {
	// Need is the delegated role whose file must be given to UpdateDelegated
	// before the search can go on; nil when it is over.
	Need *Request
	// Target Describes the target; nil if it was not found.
	Target *tuf.TargetFile
	// Role is the role whose targets list it.
	Role string
	// Visited lists the roles that were searched, in order.
	Visited []string
	// Truncated: roles were left to visit, but MaxRoles had been visited.
	Truncated bool
}

// Find searches the trusted targets for a target's path: pre-order and depth
// first, in the order of the delegations, each role once (TUF 5.6.7). Call it
// again after every role that it needs. A *Refusal ends the search: what a
// delegation names cannot be trusted.
func (c *Client) Find(path string) (Lookup, error) {
	type visit struct{ role, delegator string }
	var found Lookup
	if c.targets[tuf.RoleTargets] == nil {
		return found, errors.New("client: a search comes after the targets")
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
