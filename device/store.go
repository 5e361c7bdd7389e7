package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Store is a metadata directory: a device's files between updates. For each role it has
// the newest trusted file and its proofs, under names without versions, and it has the
// device's state twice:
//
//	root.json, timestamp.json, snapshot.json, targets.json, ROLE.json
//	NAME.tlog-proof, NAME.latest.tlog-proof
//	next-policy.txt: the next trust policy, as its target has it, which is not in force
//	NAME.waiting: a release that was offered and not taken, which is not trusted
//	updater.state, updater.state.copy
//	updater.installed: the targets that a command has installed
//	updater.policy, updater.install: the policies that it was given
type Store struct {
	Dir string
}

const (
	stateName = "updater.state"
	copyName  = "updater.state.copy"

	// lockName is the file whose lock a run has from its first look at the state to its
	// last write: of two that read and write it in turn, the slower would take back what
	// the other has learned.
	lockName = "updater.lock"

	// nextSuffix marks a proof whose metadata file is being replaced: the two
	// files cannot be replaced at once.
	nextSuffix = ".next"
)

// ErrNotInitialised is wrapped if a directory is not a device's.
var ErrNotInitialised = errors.New("no state there: run updater init first")

// ErrInUse is wrapped when another process has a directory's lock.
var ErrInUse = lockfile.ErrHeld

func (s Store) path(name string) string { return filepath.Join(s.Dir, name) }

// Lock takes the lock of the directory, and waits for it as long as it may; then the error
// wraps ErrInUse and names the holder. Files that killed runs have left are removed.
func (s Store) Lock(ctx context.Context, program string, wait time.Duration) (unlock func(), err error) {
	if unlock, err = s.lock(ctx, lockName, program, wait); err == nil {
		s.sweep()
	}
	return unlock, err
}

// LockToRead is Lock for a run that only reads: a missing lock file is not created, and
// files are not removed.
func (s Store) LockToRead(ctx context.Context, program string, wait time.Duration) (unlock func(), err error) {
	if _, err := os.Stat(s.path(lockName)); err != nil {
		return func() {}, nil
	}
	return s.lock(ctx, lockName, program, wait)
}

func (s Store) lock(ctx context.Context, name, program string, wait time.Duration) (unlock func(), err error) {
	l, err := s.acquire(ctx, name, program, wait)
	if err != nil {
		return nil, err
	}
	return func() { release(l) }, nil
}

func release(l *lockfile.Lock) {
	if l != nil {
		_ = l.Release() // as the kernel would in a moment
	}
}

// acquire takes a lock. It is nil where this process can change nothing.
func (s Store) acquire(ctx context.Context, name, program string, wait time.Duration) (*lockfile.Lock, error) {
	const pause = 50 * time.Millisecond
	for end := time.Now().Add(wait); ; {
		l, err := lockfile.Acquire(s.path(name), program)
		switch {
		case err == nil:
			s.shareLock(name)
			return l, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: %w", s.Dir, ErrNotInitialised)
		case !errors.Is(err, lockfile.ErrHeld):
			if s.readOnly() {
				return nil, nil
			}
			return nil, err
		case !time.Now().Before(end):
			return nil, fmt.Errorf("%w; waited %v", err, wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// readOnly reports whether no file can be made in the directory.
func (s Store) readOnly() bool {
	f, err := os.CreateTemp(s.Dir, ".updater.*.tmp")
	if err != nil {
		return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
	}
	_ = errors.Join(f.Close(), os.Remove(f.Name()))
	return false
}

// sweep removes what runs that were killed have left. That it cannot, as in a directory
// that is read-only, harms nothing but the room. The caller has the directory's lock.
func (s Store) sweep() { _ = durable.Sweep(s.Dir) }

const (
	maxFileName = 255 // bytes that file systems allow
	// maxRoleName leaves room for what is put behind a role's name, and around it while
	// a file is replaced.
	maxRoleName = maxFileName - len(".json") - len(verify.LatestSuffix) - len(".") - len(".4294967295.tmp")
)

// fileName is the name under which a role's file is kept. Where a file system does not
// tell A from a, a delegated role called Root must not take the place of the root.
func fileName(role string) string {
	most := maxRoleName
	if !tuf.IsTopLevel(role) && tuf.IsTopLevel(strings.ToLower(role)) {
		most = 0
	}
	return storedName(tuf.EscapeRole(role), most) + ".json"
}

// storedName is an escaped name, or its hash where that is too long. No escaped name
// has an equals sign.
func storedName(escaped string, most int) string {
	if len(escaped) <= most {
		return escaped
	}
	return "sha256=" + tuf.Sum([]byte(escaped)).String()
}

// Create makes a device that trusts root in an existing directory. If the directory
// has a device already, it must have been given the same root; then only a missing or
// damaged root.json is restored. A device's files without its state are an error: nobody may
// take away what it has seen and have it set up again. The caller has the directory's lock.
func (s Store) Create(root []byte, state verify.State) error {
	before, _, err := s.State()
	switch {
	case errors.Is(err, ErrNotInitialised):
		if name := s.left(root); name != "" {
			return fmt.Errorf("%s has no state, and %s of a device: what that has seen is lost, and it could be given older releases; use another directory, or remove its files", s.Dir, name)
		}
		if err := s.SaveState(state); err != nil {
			return err
		}
	case err != nil:
		return err
	case before.TrustedRoot != state.TrustedRoot || before.Repository != state.Repository:
		return fmt.Errorf("%s belongs to a device that was given another root or repository: use another directory", s.Dir)
	default:
		file, _, err := s.read(tuf.RoleRoot)
		if err != nil {
			return err
		}
		if m, err := tuf.ParseJSON(file); err == nil && m.Root != nil && m.PayloadDigest == before.Root.Payload && m.Meets(m.Root.KeySet(tuf.RoleRoot)) == nil {
			return nil
		}
	}
	return s.write(tuf.RoleRoot, root, verify.Sidecars{})
}

// left is the name of a file that a device without a state has left; empty: there is none.
// The root that it is to be given may be there.
func (s Store) left(root []byte) string {
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets, tuf.RoleRoot} {
		name := fileName(role)
		switch b, err := regular.ReadSome(s.path(name), int64(len(root))+1); {
		case errors.Is(err, fs.ErrNotExist), role == tuf.RoleRoot && err == nil && bytes.Equal(b, root):
		default:
			return name
		}
	}
	return ""
}

// State returns the device's state, which is the newer of two copies that can be used, and
// the reason if one could not be used or was older than the other one's last change.
func (s Store) State() (state verify.State, trouble error, err error) {
	state, _, trouble, err = s.state()
	return state, trouble, err
}

// state is State, and reports whether both copies have that state.
func (s Store) state() (state verify.State, whole bool, trouble error, err error) {
	var copies []verify.State
	var texts [][]byte
	var troubles []error
	missing, forbidden := 0, false
	for _, name := range []string{stateName, copyName} {
		b, err := regular.ReadSome(s.path(name), verify.MaxStateSize+1)
		if err == nil {
			var state verify.State
			if state, err = verify.ParseState(b); err == nil {
				copies, texts = append(copies, state), append(texts, b)
				continue
			}
			err = fmt.Errorf("%s: %w", s.path(name), err)
		} else if errors.Is(err, fs.ErrNotExist) {
			missing++
		}
		forbidden = forbidden || errors.Is(err, fs.ErrPermission)
		troubles = append(troubles, err)
	}
	switch {
	case missing == 2:
		return state, false, nil, fmt.Errorf("%s: %w", s.Dir, ErrNotInitialised)
	case len(copies) == 0 && forbidden:
		return state, false, nil, s.forbidden(errors.Join(troubles...))
	case len(copies) == 0:
		return state, false, nil, fmt.Errorf("both copies of this device's state are damaged, and without them it could be given older releases: set it up again with updater init in another directory: %w", errors.Join(troubles...))
	case len(copies) == 1:
		return copies[0], false, errors.Join(troubles...), nil
	case copies[0].Serial < copies[1].Serial: // which no run leaves behind: the copy is written last
		return copies[1], false, fmt.Errorf("%s is older than its copy", s.path(stateName)), nil
	}
	return copies[0], bytes.Equal(texts[0], texts[1]), nil, nil
}

// forbidden says of an error for want of permission who may not, and of what.
func (s Store) forbidden(err error) error {
	return fmt.Errorf("this device's files cannot be read by user %d, as whom this runs: run it as the user who has %s: %w", os.Geteuid(), s.Dir, err)
}

// SaveState writes the state twice, so that a damaged disk block does not take
// the protection against rollback with it, and counts its serial up from that of the state
// that is there.
func (s Store) SaveState(state verify.State) error {
	if before, _, err := s.State(); err == nil {
		state.Serial = max(state.Serial, before.Serial)
	}
	state.Serial++
	b, err := state.Marshal() // which has read it again
	if err != nil {
		return err
	}
	for _, name := range []string{stateName, copyName} {
		if err := durable.WriteFile(s.path(name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Kept is verify.Source's. A device without a root is an error.
func (s Store) Kept(_ context.Context, role string) (file []byte, sidecars verify.Sidecars, err error) {
	if file, sidecars, err = s.read(role); err == nil && file == nil && role == tuf.RoleRoot {
		err = fmt.Errorf("%s is missing: run updater init with the same root again", s.path(fileName(role)))
	}
	return file, sidecars, err
}

// Keep is verify.Source's.
func (s Store) Keep(_ context.Context, a verify.Accepted) error {
	return s.write(a.Role, a.Metadata.File, a.Sidecars)
}

// read returns what is kept of a role; what is not there is nil.
func (s Store) read(role string) (file []byte, sidecars verify.Sidecars, err error) {
	name := fileName(role)
	for _, part := range []struct {
		name string
		to   *[]byte
	}{{name, &file}, {name + verify.SidecarSuffix, &sidecars.Proof}, {name + verify.LatestSuffix, &sidecars.Latest}} {
		b, err := regular.ReadSome(s.path(part.name), tuf.MaxFileSize+1)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, verify.Sidecars{}, err
		}
		*part.to = b
	}
	return file, sidecars, nil
}

// write replaces what is kept of a role. A power cut leaves either the old file
// or the new one with a proof that fits it; see recover.
func (s Store) write(role string, file []byte, sidecars verify.Sidecars) error {
	name := fileName(role)
	proof := name + verify.SidecarSuffix
	if sidecars.Proof != nil {
		if err := durable.WriteFile(s.path(proof+nextSuffix), sidecars.Proof, 0o644); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(s.path(name), file, 0o644); err != nil {
		return err
	}
	if sidecars.Proof == nil {
		if err := s.remove(proof); err != nil {
			return err
		}
	} else if err := os.Rename(s.path(proof+nextSuffix), s.path(proof)); err != nil {
		return err
	}
	if sidecars.Latest == nil {
		if err := s.remove(name + verify.LatestSuffix); err != nil {
			return err
		}
		return durable.SyncDir(s.Dir)
	}
	return durable.WriteFile(s.path(name+verify.LatestSuffix), sidecars.Latest, 0o644)
}

func (s Store) remove(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// recover finishes, or takes back, a write that was interrupted.
func (s Store) recover() error {
	pending, err := filepath.Glob(filepath.Join(globEscape(s.Dir), "*"+verify.SidecarSuffix+nextSuffix))
	if err != nil {
		return err
	}
	for _, path := range pending {
		proof := strings.TrimSuffix(path, nextSuffix)
		if sidecarFits(path, strings.TrimSuffix(proof, verify.SidecarSuffix)) {
			err = os.Rename(path, proof)
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	if len(pending) > 0 {
		return durable.SyncDir(s.Dir)
	}
	return nil
}

// sidecarFits reports whether a proof is about the metadata file: not whether it is a
// good one. What cannot be read does not fit: both can be fetched again.
func sidecarFits(sidecar, file string) bool {
	b, err := regular.ReadSome(sidecar, proofs.MaxProofSize+1)
	if err != nil {
		return false
	}
	content, err := regular.ReadSome(file, tuf.MaxFileSize+1)
	if err != nil {
		return false
	}
	proof, err := proofs.ParseProof(b)
	if err != nil {
		return false
	}
	entry, err := leaf.Parse(proof.Extra)
	if err != nil {
		return false
	}
	m, err := tuf.ParseJSON(content)
	return err == nil && m.PayloadDigest == entry.Payload
}

// globEscape quotes the characters that filepath.Glob gives a meaning.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// installLockName is the file whose lock a run has as long as it installs.
const installLockName = "updater.install.lock"

// InstallLock is the lock of a run that installs, or that puts targets where one may be
// installing from.
type InstallLock struct {
	lock    *lockfile.Lock // nil: the directory is read-only
	program string
}

// LockInstall is Lock for the time in which targets are downloaded and a command installs
// them, which may take long: two would be in each other's way, and what a command reads must
// stay as it was checked. Runs that only refresh go on meanwhile.
func (s Store) LockInstall(ctx context.Context, program string, wait time.Duration) (*InstallLock, error) {
	l, err := s.acquire(ctx, installLockName, program, wait)
	if err != nil {
		return nil, err
	}
	return &InstallLock{l, program}, nil
}

// Unlock releases the lock. What the command has left running does not hold it.
func (l *InstallLock) Unlock() { release(l.lock) }

// File is inherited by a command, so that it holds the lock if its run is killed; nil: it
// cannot be.
func (l *InstallLock) File() *os.File {
	if l.lock == nil {
		return nil
	}
	return l.lock.File()
}

// Runs names a command as the holder while it runs. The caller calls ended afterwards.
func (l *InstallLock) Runs(pid int) (ended func()) {
	if l.lock == nil {
		return func() {}
	}
	l.lock.Name(pid, "the command of "+l.program)
	return func() { l.lock.Name(os.Getpid(), l.program) }
}
