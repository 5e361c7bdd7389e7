package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// ErrNoProofs means that none of the files has a proof to refresh.
var ErrNoProofs = errors.New("there is no proof beside any of the files")

// Refreshed is a proof with the newest checkpoint of the log.
type Refreshed struct {
	File     string    `json:"file"` // of metadata; the proof is at File + verify.LatestSuffix
	Role     string    `json:"role"`
	Version  int64     `json:"version"`
	Index    int64     `json:"index"`
	Size     int64     `json:"size"`     // of the log that the proof shows
	Cosigned time.Time `json:"cosigned"` // by half of the witnesses at that time or later; zero: by none
	Written  bool      `json:"written"`  // false: the existing proof is as new
}

// Refresh writes beside each file that has a sidecar the newest proof of the same entry, at
// the file's name and verify.LatestSuffix. The first proof, which shows the least age of
// the entry, is not changed; together they prove the age that devices may require. It does
// not need keys or a token. For each role only the highest version is refreshed. If one
// proof cannot be refreshed, the others are all the same; with an error, the list still
// holds the refreshed ones.
func Refresh(ctx context.Context, cfg Config, set *Files) ([]Refreshed, error) {
	j := newJob(cfg, set.files)
	var done []Refreshed
	var latest []string
	proved := map[*file][]byte{}
	for _, f := range j.all {
		for _, path := range f.paths {
			sidecar, err := readSidecar(path + verify.SidecarSuffix)
			if err != nil {
				return nil, err
			}
			if sidecar != nil {
				proved[f] = sidecar
				latest = append(latest, path+verify.LatestSuffix)
			}
		}
	}
	if len(proved) == 0 {
		return nil, ErrNoProofs
	}
	if err := checkReplaced(cfg, latest); err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range j.all {
		if proved[f] == nil || slices.ContainsFunc(j.all, func(g *file) bool { return g.role == f.role && g.version > f.version && proved[g] != nil }) {
			continue
		}
		list, err := j.refresh(ctx, f, proved[f])
		done, errs = append(done, list...), append(errs, err)
		if unanswered := (*unansweredError)(nil); errors.As(err, &unanswered) {
			break // the log would be waited for once more with each file
		}
	}
	return done, errors.Join(errs...)
}

// unansweredError is that of a log which has not answered.
type unansweredError struct{ error }

func (e *unansweredError) Unwrap() error { return e.error }

// refresh writes the newest proof of what a sidecar proves about f, beside each copy.
func (j *job) refresh(ctx context.Context, f *file, sidecar []byte) ([]Refreshed, error) {
	claim, first, err := j.proved(f, sidecar)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (publisher submit writes it again)", f.name+verify.SidecarSuffix, err)
	}
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Timeout)
	defer cancel()
	newest, err := j.cfg.Log.EntryProof(ctx, first.Index)
	if err != nil {
		return nil, &unansweredError{fmt.Errorf("the newest proof of %s: %w", f.name, err)}
	}
	logged, err := verify.CheckSidecar(newest, claim, j.cfg.Policy)
	if err == nil && !first.SameEntry(logged) {
		err = fmt.Errorf("it is of entry %d of log %s, and the first proof of entry %d of log %s", logged.Index, logged.Checkpoint.Origin, first.Index, first.Checkpoint.Origin)
	}
	if err != nil {
		return nil, &ProofError{f.name, err}
	}
	var done []Refreshed
	for _, path := range f.paths {
		r := Refreshed{File: path, Role: f.role, Version: f.version, Index: first.Index, Size: logged.Checkpoint.Tree.N, Cosigned: logged.Cosigned()}
		old, err := readSidecar(path + verify.LatestSuffix)
		if err != nil {
			return done, err
		}
		before, err := verify.CheckSidecar(old, claim, j.cfg.Policy)
		if r.Written = err != nil || !first.SameEntry(before) || logged.Newer(before); r.Written {
			if err := durable.WriteFile(path+verify.LatestSuffix, newest, 0o644); err != nil {
				return done, err
			}
		} else {
			r.Size, r.Cosigned = before.Checkpoint.Tree.N, before.Cosigned()
		}
		done = append(done, r)
	}
	return done, nil
}

// proved returns what a sidecar proves about f: that it is a release of the repository
// that the sidecar names, which is believed.
func (j *job) proved(f *file, sidecar []byte) (verify.Claim, *verify.Logged, error) {
	if f.meta == nil {
		return verify.Claim{}, nil, fmt.Errorf("the file beside it cannot be read: %w", f.unread)
	}
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return verify.Claim{}, nil, err
	}
	leaf, err := leaf.Parse(proof.Extra)
	if err != nil {
		return verify.Claim{}, nil, err
	}
	id := leaf.Repository
	if j.fixed() {
		id = j.cfg.Repository
	}
	claim := verify.ClaimFor(id, f.role, f.meta)
	logged, err := verify.CheckSidecar(sidecar, claim, j.cfg.Policy)
	if err != nil {
		return claim, nil, err
	}
	return claim, logged, nil
}

// WriteRefreshed prints a sentence and a line for each proof.
func WriteRefreshed(w io.Writer, list []Refreshed) error {
	written := 0
	for _, r := range list {
		if r.Written {
			written++
		}
	}
	t := printable.NewTable(w)
	t.Line("%d of %d proofs refreshed, the others are as new as the log's\n\n", written, len(list))
	var files []string
	for _, r := range list {
		files = append(files, r.File)
	}
	dir := folderOf(files)
	if dir != "" {
		t.Line("in %s\n", printable.Line(dir))
	}
	t.Row("FILE", "ROLE", "VERSION", "ENTRY", "COSIGNED")
	for _, r := range list {
		at := "-"
		if !r.Cosigned.IsZero() {
			at = r.Cosigned.Format(time.RFC3339)
		}
		t.Row(below(dir, r.File)+verify.LatestSuffix, r.Role, fmt.Sprint(r.Version), fmt.Sprint(r.Index), at)
	}
	return t.Flush()
}
