package main

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// vendor is one repository of the load.
type vendor struct {
	*rehearsal.Repository
	// token is the repository's own; empty: the log has given none.
	token string

	targets string // the targets but the first, as JSON members
	version atomic.Int64
	// signed are the signatures of the releases from version first on, made
	// while nothing was being measured.
	first  int64
	signed []signatures
}

// signatures are those of a release.
type signatures struct{ targets, snapshot []byte }

// release is one submission of a vendor.
type release struct {
	vendor *vendor
	files  []api.File
	claim  verify.Claim
}

// newVendor makes a repository whose targets files have about size bytes.
func newVendor(number, size int) (*vendor, error) {
	repository, err := rehearsal.NewRepository()
	if err != nil {
		return nil, err
	}
	v := &vendor{Repository: repository}
	var b strings.Builder
	for i := 1; b.Len() < size-500; i++ {
		b.WriteString("," + rehearsal.Target(fmt.Sprintf("device-%04d/slot-%02d.bin", number, i), fmt.Sprintf("%d %d", number, i), "1.0.0"))
	}
	v.targets = b.String()
	return v, nil
}

// presign signs the vendor's next n releases. Nobody may be making one meanwhile.
func (v *vendor) presign(n int) {
	v.first = v.version.Load() + 1
	v.signed = make([]signatures, n)
	for i := range v.signed {
		v.make(v.first+int64(i), &v.signed[i])
	}
}

// release makes the vendor's next release.
func (v *vendor) release() release {
	n := v.version.Add(1)
	if i := n - v.first; i >= 0 && i < int64(len(v.signed)) {
		return v.make(n, &v.signed[i])
	}
	return v.make(n, &signatures{})
}

// make makes a release: targets metadata with a new first file, and the snapshot
// that vouches for it. Signatures that are not there yet are made, too.
func (v *vendor) make(n int64, sigs *signatures) release {
	signed := rehearsal.Targets(rehearsal.Target("device", fmt.Sprintf("%v %d", v.ID, n), fmt.Sprintf("1.0.%d", n))+v.targets, n)
	targets := v.File(signed, v.sign(&sigs.targets, signed))
	snapshot := rehearsal.Snapshot(targets, n)
	return release{
		vendor: v,
		files: []api.File{
			{Name: api.FileName(tuf.RoleTargets, n), Data: targets},
			{Name: api.FileName(tuf.RoleSnapshot, n), Data: v.File(snapshot, v.sign(&sigs.snapshot, snapshot))},
		},
		claim: v.Release(signed, n),
	}
}

// sign returns the signature in sig, which it makes if there is none.
func (v *vendor) sign(sig *[]byte, signed string) []byte {
	if *sig == nil {
		*sig = v.Sign(signed)
	}
	return *sig
}
