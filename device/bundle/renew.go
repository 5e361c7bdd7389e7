package bundle

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tuflog/tuflog/device/bundle/index"
	"github.com/tuflog/tuflog/verify"
)

// Log fetches the newest proof of an entry of the log of an origin.
type Log func(ctx context.Context, origin string, index int64) ([]byte, error)

// Renewed is what became of a proof.
type Renewed struct {
	Role     string    `json:"role"`
	Version  int64     `json:"version"`
	Index    int64     `json:"index"`
	Size     int64     `json:"size"`     // of the log that the proof shows
	Cosigned time.Time `json:"cosigned"` // by half of the witnesses at that time or later; zero: by none
	Written  bool      `json:"written"`  // false: the one in the bundle is as new
}

// Renewal is what became of a bundle.
type Renewal struct {
	Client *verify.Client // with the metadata of the bundle
	Proofs []Renewed
}

// Renew writes a bundle again, with the newest proofs of its newest root and of its targets
// metadata beside the first ones: together they show how long a release has been public.
// That takes none of the vendor's keys, and changes nothing that a vendor has signed. A
// bundle that a device with root would refuse is not renewed, nor one that has expired: the
// times in newer proofs would only show that to devices without a clock as well.
func Renew(ctx context.Context, w io.Writer, b *Bundle, cfg verify.Config, root []byte, log Log) (*Renewal, error) {
	state, err := verify.Pin(root, cfg.Install)
	if err != nil {
		return nil, err
	}
	t, err := Try(ctx, cfg, state, Root(root), b)
	if err == nil {
		err = t.delegated(ctx, false)
	}
	if err != nil {
		return nil, err
	}
	c := contents{}
	for _, f := range b.files {
		c[f] = func(w io.Writer) error {
			_, err := io.Copy(w, b.open(f.Name))
			return err
		}
	}
	done := &Renewal{Client: t.Client, Proofs: []Renewed{}}
	for _, a := range t.Client.Accepted() {
		if a.Logged == nil || a.Metadata != t.Client.Metadata(a.Role) {
			continue
		}
		name := t.nameOf(a.Role)
		if name == "" {
			continue // the root that trust began with
		}
		r, newest, err := renew(ctx, t.Client, b, cfg, a, name+verify.LatestSuffix, log)
		if err != nil {
			return nil, fmt.Errorf("the newest proof of %s: %w", name, err)
		}
		if r.Written {
			if old := b.open(index.MetadataPrefix + name + verify.LatestSuffix); old != nil {
				delete(c, File{Name: index.MetadataPrefix + name + verify.LatestSuffix, Size: old.Size()})
			}
			c.add(index.MetadataPrefix+name+verify.LatestSuffix, newest)
		}
		done.Proofs = append(done.Proofs, r)
	}
	return done, write(w, c)
}

// nameOf is the name of the file of a role that was fetched last.
func (t *Trial) nameOf(role string) (name string) {
	for _, r := range t.asked {
		if r.Role == role {
			name = r.URLName()
		}
	}
	return name
}

// renew fetches the newest proof of what was accepted, unless the one in the bundle is as
// new.
func renew(ctx context.Context, c *verify.Client, b *Bundle, cfg verify.Config, a verify.Accepted, latestName string, log Log) (Renewed, []byte, error) {
	claim := verify.ClaimFor(c.Repository(), a.Role, a.Metadata)
	newest, err := log(ctx, a.Logged.Checkpoint.Origin, a.Logged.Index)
	if err != nil {
		return Renewed{}, nil, err
	}
	logged, err := verify.CheckSidecar(newest, claim, cfg.Policy)
	if err != nil {
		return Renewed{}, nil, err
	}
	if !logged.SameEntry(a.Logged) {
		return Renewed{}, nil, fmt.Errorf("it is of entry %d of log %s, and the first proof of entry %d of log %s", logged.Index, logged.Checkpoint.Origin, a.Logged.Index, a.Logged.Checkpoint.Origin)
	}
	old, err := b.read(latestName)
	if err != nil {
		return Renewed{}, nil, err
	}
	written := true
	if before, err := verify.CheckSidecar(old, claim, cfg.Policy); err == nil && before.SameEntry(a.Logged) && !logged.Newer(before) {
		logged, written = before, false
	}
	return Renewed{Role: a.Role, Version: a.Metadata.Version, Index: logged.Index, Size: logged.Checkpoint.Tree.N, Cosigned: logged.Cosigned(), Written: written}, newest, nil
}
