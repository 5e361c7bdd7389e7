package verify

import "time"

// For tests of what a caller sees.
const (
	MaxInstallPolicySize   = maxInstallPolicySize
	DefaultMaxRoles        = defaultMaxRoles
	DefaultFaultyWitnesses = defaultFaultyWitnesses
)

// Floor returns the time floor.
func (c *Client) Floor() time.Time { return c.floor() }

// WeakerThan is weakerThan, for the tests of users.
func (r Requirements) WeakerThan(before Requirements) []string { return r.weakerThan(before) }

// ErrNotOwners is for the tests of users.
var ErrNotOwners = errNotOwners
