package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// maxSidecar bounds a sidecar that is read from disk, in bytes; those of the log are
// much shorter.
const maxSidecar = 1 << 20

// ReplaceError means that a proof of another log is in the place of a new
// proof. Devices that trust that log need it. No file was sent.
type ReplaceError struct {
	Path   string // of the first
	Origin string // the other log
	More   int    // how many more there are
}

func (e *ReplaceError) Error() string {
	more := ""
	if e.More > 0 {
		more = fmt.Sprintf(", and so are %d more", e.More)
	}
	return fmt.Sprintf("%s is a proof of the log %q, which is not one of the policy's%s: devices that trust that log need it", e.Path, e.Origin, more)
}

// checkReplaced returns a *ReplaceError if a proof of another log is at one of the
// paths and the configuration does not allow to replace it.
func checkReplaced(cfg Config, paths []string) error {
	if cfg.Replace {
		return nil
	}
	var found *ReplaceError
	for _, path := range paths {
		old, err := readSidecar(path)
		if err != nil {
			return err
		}
		origin, other := otherLog(old, cfg.Policy)
		switch {
		case !other:
		case found == nil:
			found = &ReplaceError{Path: path, Origin: origin}
		default:
			found.More++
		}
	}
	if found != nil {
		return found
	}
	return nil
}

// readSidecar returns the file at path, nil if there is none.
func readSidecar(path string) ([]byte, error) {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, path, maxSidecar)
}

// otherLog reports whether a sidecar is the proof of a log that is not the policy's,
// and which. What is not a proof is nobody's.
func otherLog(sidecar []byte, policy *proofs.Policy) (origin string, other bool) {
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return "", false
	}
	note, err := proofs.ParseNote(proof.Checkpoint)
	if err != nil {
		return "", false
	}
	if policy != nil {
		for _, log := range policy.Logs {
			if _, _, err := proofs.OpenCheckpoint(proof.Checkpoint, log.Key); err == nil {
				return "", false
			}
		}
	}
	origin, _, _ = strings.Cut(note.Text, "\n")
	return origin, true
}

// write puts the sidecar of f at path, unless a valid one is there.
func (j *job) write(path string, f *file) error {
	old, err := readSidecar(path)
	if err != nil {
		return err
	}
	if old != nil {
		if _, err := verify.CheckSidecar(old, *f.verdict.claim, j.before); err == nil {
			j.countUnaudited(old, f)
			f.verdict.Sidecars = append(f.verdict.Sidecars, path)
			return nil
		}
	}
	if err := durable.WriteFile(path, j.forDevices(f.verdict.sidecar), 0o644); err != nil {
		return err
	}
	j.countUnaudited(f.verdict.sidecar, f)
	f.verdict.Sidecars = append(f.verdict.Sidecars, path)
	return j.dropLatest(strings.TrimSuffix(path, verify.SidecarSuffix)+verify.LatestSuffix, f)
}

// forDevices returns the proof with those signatures that the policy can use, unless all
// are wanted. What the policy says of it stays the same.
func (j *job) forDevices(sidecar []byte) []byte {
	proof, err := proofs.ParseProof(sidecar)
	if err != nil || j.cfg.AllSignatures {
		return sidecar
	}
	return proof.For(j.cfg.Policy).Marshal()
}

// dropLatest removes a newer proof that does not belong to the sidecar of f any more:
// devices would refuse both. Another log's is left where it is not to be replaced.
func (j *job) dropLatest(path string, f *file) error {
	latest, err := readSidecar(path)
	if latest == nil || err != nil {
		return err
	}
	if _, other := otherLog(latest, j.cfg.Policy); other && !j.cfg.Replace {
		return nil
	}
	first, err := verify.CheckSidecar(f.verdict.sidecar, *f.verdict.claim, j.before)
	if err != nil {
		return err // it was good when it came
	}
	if newer, err := verify.CheckSidecar(latest, *f.verdict.claim, j.before); err == nil && first.SameEntry(newer) {
		return nil
	}
	return os.Remove(path)
}

// writeSidecars writes the proofs of what is logged, unless nothing was sent. One that
// cannot be written keeps no other from being written.
func (j *job) writeSidecars() error {
	if j.rehearsal != nil {
		return nil
	}
	var errs []error
	for _, f := range j.all {
		if f.verdict.claim == nil || f.embedded {
			continue
		}
		for _, path := range f.paths {
			errs = append(errs, j.write(path+verify.SidecarSuffix, f))
		}
	}
	return errors.Join(errs...)
}

// noteUnaudited says how many proofs auditors have not cosigned yet.
func (j *job) noteUnaudited() {
	if j.unaudited > 0 {
		j.notes = append(j.notes, fmt.Sprintf("%d of the proofs will do for devices under this policy once its auditors have cosigned the log, which they do after publication: publisher refresh --wait replaces them then", j.unaudited))
	}
}

// countUnaudited takes down that a sidecar of f, written or kept, still needs an auditor.
func (j *job) countUnaudited(sidecar []byte, f *file) {
	if _, err := verify.CheckSidecar(sidecar, *f.verdict.claim, j.cfg.Policy); err != nil {
		f.verdict.Unaudited = true
		j.unaudited++
	}
}

// sidecars returns the paths of all sidecars that may be written.
func (j *job) sidecars() []string {
	var paths []string
	for _, f := range j.all {
		if f.embedded {
			continue
		}
		for _, path := range f.paths {
			paths = append(paths, path+verify.SidecarSuffix)
		}
	}
	return paths
}
