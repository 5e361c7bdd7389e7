package testvendor

import (
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// DelegateBins has the targets of one role delegate everything to 2^bits hash
// bins (succinct delegation) with one new key, and returns the bins' names. Bins
// released together and empty have the same payload.
func (v *Vendor) DelegateBins(from, prefix string, bits int) ([]string, error) {
	m, ok := v.targets[from]
	if !ok {
		return nil, fmt.Errorf("no role %q", from)
	}
	key, err := v.newKey(prefix)
	if err != nil {
		return nil, err
	}
	id, err := key.ID()
	if err != nil {
		return nil, err
	}
	succinct := &metadata.SuccinctRoles{KeyIDs: []string{id}, Threshold: 1, BitLength: bits, NamePrefix: prefix}
	m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{id: key}, SuccinctRoles: succinct}
	names := succinct.GetRoles()
	for _, name := range names {
		v.keys[name] = v.keys[prefix]
		v.targets[name] = metadata.Targets(v.expires)
		v.targets[name].Signed.Version = 0
	}
	return names, nil
}
