package rehearsal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Vendor releases for one repository.
type Vendor struct {
	repository *Repository
	version    int64
}

// Release is one file to submit, and the leaf that it must become.
type Release struct {
	Claim verify.Claim
	Files []api.File // the file, and the snapshot that lists it
	Leaf  leaf.Leaf
}

// NewVendor makes a vendor with a repository of its own.
func NewVendor() (*Vendor, error) {
	r, err := NewRepository()
	return &Vendor{repository: r}, err
}

// Genesis is the root as a release.
func (v *Vendor) Genesis() Release {
	return newRelease(v.repository.Genesis(), v.repository.Root, nil)
}

// Next makes the vendor's next targets release.
func (v *Vendor) Next() Release { return v.NextOf(8) } // some bytes, as real metadata has

// NextOf makes the vendor's next targets release, with so many target files.
func (v *Vendor) NextOf(targets int) Release {
	v.version++
	var files strings.Builder
	for i := range targets {
		if i > 0 {
			files.WriteByte(',')
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%v %d %d", v.repository.ID, v.version, i))
		fmt.Fprintf(&files, `"device-%08d.bin":{"hashes":{"sha256":"%x"},"length":%d}`, i, sum, v.version)
	}
	r := v.repository
	signed := Targets(files.String(), v.version)
	file := r.File(signed, r.Sign(signed))
	snapshot := Snapshot(file, v.version)
	return newRelease(r.Release(signed, v.version), file, r.File(snapshot, r.Sign(snapshot)))
}

func newRelease(c verify.Claim, file, snapshot []byte) Release {
	r := Release{
		Claim: c,
		Files: []api.File{{Name: api.FileName(c.Role, c.Version), Data: file}},
		Leaf: leaf.Leaf{
			Kind: leaf.Release, Repository: c.Repository, Role: c.Role, Version: c.Version, Payload: c.Payload,
			Metadata: tuf.Sum(file), Size: int64(len(file)), Encoding: c.Encoding,
		},
	}
	if snapshot != nil {
		r.Files = append(r.Files, api.File{Name: api.FileName(tuf.RoleSnapshot, c.Version), Data: snapshot})
		r.Leaf.Snapshot, r.Leaf.Listed = tuf.Sum(snapshot), leaf.ByHash
	}
	return r
}

const (
	perVendor = 20                   // releases until a client goes on with another vendor
	calm      = 3 * time.Millisecond // between two releases of a client
)

// Vendors has the releases of one vendor after another sent by insist, as a client
// without a break, until the context ends or insist gives up.
func (r *Record) Vendors(ctx context.Context, insist func(context.Context, Release) bool) {
	for ctx.Err() == nil {
		v, err := NewVendor()
		if err != nil {
			r.Fail("%v", err)
			return
		}
		for i := range perVendor {
			rel := v.Genesis()
			if i > 0 {
				rel = v.Next()
			}
			if !insist(ctx, rel) {
				return
			}
			process.Pause(ctx, calm)
		}
	}
}
