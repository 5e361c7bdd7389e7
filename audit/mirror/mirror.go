package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// Config configures an Update.
type Config struct {
	// Dir is the directory of the copy: a copy, or an empty directory, or one that is made.
	Dir string
	// Source is the log. If it is an audit.Packs too, the files are read in packs.
	Source audit.Source
	// Policy says which checkpoints are copied.
	Policy *proofs.Policy
	// MaxBytes is how many bytes the files of the copy may have in all; 0 is any number. What
	// does not fit is not copied, and the error wraps ErrFull.
	MaxBytes int64
	// Leave is how many bytes of the file system stay free; 0: it may be filled. What does not
	// fit is not copied, as with MaxBytes.
	Leave uint64
	// Used is how many bytes the files of the copy have, by the Result of the last Update of
	// this process; 0: not known, and with MaxBytes they are counted.
	Used int64
	// Progress, which may be nil, is called with the number of entries copied, and of
	// those that there are. It may be called by several goroutines, one at a time.
	Progress func(done, total int64)
}

// Result says what an Update did.
type Result struct {
	Origin  string      // of the log
	Before  int64       // entries that the copy had
	Tree    proofs.Tree // that it has now
	Files   int64       // that were written: tiles, bundles, packs, blobs
	Bytes   int64       // in them
	Used    int64       // bytes of all files of the copy; 0 without a MaxBytes
	Missing []Missing   // files that the log does not serve now
}

// Missing is a file that the log does not serve.
type Missing struct {
	Bundle int64 // whose leaf names it first
	Digest tuf.Digest
}

// ErrUntrue is wrapped by errors that say that the log, or the server of its files,
// serves something else than what the log signed. Nothing of it was written.
var ErrUntrue = errors.New("the log does not serve what it signed")

// ErrFull is wrapped by the error for a copy that would be larger than it may be, or would leave
// less of the file system free.
var ErrFull = errors.New("the copy is as large as it may be")

// ForkError means that the log has shown two histories. The proof is in the file Path.
type ForkError struct {
	Conflict fraud.Conflict
	Path     string
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log has signed a tree that contradicts the one that was copied: the proof is in %s", e.Path)
}

// errBehind is wrapped by the error for a log that shows a smaller tree than the copy
// has, which the copy continues: an older copy of the log, or a front end that is behind.
var errBehind = errors.New("the log shows an older checkpoint than the one that is copied")

// Update copies what the log has published into the directory, or what is new of it. A
// log that has published nothing is audit.ErrNothingPublished. Files that the log does
// not serve are left out and listed in the result; each further Update asks for them
// again. One process at a time updates a directory; a second one gets lockfile.ErrHeld.
func Update(ctx context.Context, cfg Config) (_ *Result, err error) {
	c := &mirror{cfg: cfg, dir: dir{path: cfg.Dir}}
	if err := c.dir.open(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.dir.root.Close()) }()
	lock, err := lockfile.AcquireDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	isCopy := func(note []byte) bool {
		_, err := cfg.Policy.OpenCheckpoint(note)
		return err == nil
	}
	if err := c.dir.claim(isCopy); err != nil {
		return nil, err
	}
	if err := c.dir.bound(cfg.MaxBytes, cfg.Used); err != nil {
		return nil, err
	}
	c.dir.leave = cfg.Leave
	if err := c.readOld(ctx); err != nil {
		return nil, err
	}
	if err := c.readNew(ctx); err != nil {
		return nil, err
	}
	if err := c.compare(ctx); err != nil {
		return nil, err
	}
	if err := c.copy(ctx); err != nil {
		return nil, err
	}
	if err := c.publish(); err != nil {
		return nil, err
	}
	return &Result{Origin: c.new.Origin, Before: c.oldTree().N, Tree: c.new.Tree, Files: c.dir.files.Load(), Bytes: c.dir.bytes.Load(), Used: c.dir.used.Load(), Missing: c.missing}, nil
}

// mirror is one update.
type mirror struct {
	cfg     Config
	dir     dir
	old     *proofs.SignedCheckpoint // nil: nothing is copied
	oldNote []byte
	new     *proofs.SignedCheckpoint
	newNote []byte
	tiles   proofs.TileReader // of the new tree, verified
	missing []Missing
}

func (c *mirror) oldTree() proofs.Tree {
	if c.old == nil {
		return proofs.Tree{}
	}
	return c.old.Tree
}

// readOld reads which tree was copied.
func (c *mirror) readOld(ctx context.Context) error {
	note, err := c.dir.read("checkpoint", proofs.MaxNoteSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := c.cfg.Policy.OpenCheckpoint(note)
	if err != nil {
		return fmt.Errorf("%s is not a copy of a log of this policy: %w", c.dir.name("checkpoint"), err)
	}
	front, err := proofs.ReadFrontier(ctx, old.Tree.N, &c.dir)
	if err != nil {
		return fmt.Errorf("the copy in %s is damaged; without its file checkpoint it is verified and mended: %w", c.cfg.Dir, err)
	}
	if front.Tree() != old.Tree {
		return fmt.Errorf("the copy in %s is damaged: the tiles at its edge are not those of its checkpoint; without the file checkpoint it is verified and mended", c.cfg.Dir)
	}
	c.old, c.oldNote = old, note
	c.missing, err = c.dir.readMissing()
	return err
}

// readNew reads which tree is to be copied.
func (c *mirror) readNew(ctx context.Context) error {
	note, err := c.cfg.Source.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	if c.new, err = c.cfg.Policy.OpenCheckpoint(note); err != nil {
		return fmt.Errorf("the checkpoint that the log serves: %w", err)
	}
	if c.old != nil && c.old.Origin != c.new.Origin {
		return fmt.Errorf("%s is a copy of log %q, and this is log %q", c.cfg.Dir, c.old.Origin, c.new.Origin)
	}
	c.newNote = note
	c.tiles = proofs.VerifiedTiles(c.new.Tree, newTileCache(c.cfg.Source))
	return nil
}

// compare checks that the new tree continues the one that was copied.
func (c *mirror) compare(ctx context.Context) error {
	if c.old == nil {
		return nil
	}
	var tiles proofs.TileReader = newTileCache(c.cfg.Source)
	if c.old.Tree.N > c.new.Tree.N {
		tiles = &c.dir // of the larger tree
	}
	conflict, err := fraud.NewConflict(ctx, c.oldNote, c.newNote, tiles)
	switch {
	case err == nil:
		path, err := c.dir.accuse(conflict)
		if err != nil {
			return err
		}
		return &ForkError{conflict, path}
	case !errors.Is(err, fraud.ErrNoConflict):
		if err := c.tileFault("tiles", err); errors.Is(err, ErrUntrue) {
			return err
		}
		return fmt.Errorf("whether the tree of size %d continues that of size %d, which was copied: %w", c.new.Tree.N, c.old.Tree.N, err)
	case c.old.Tree.N > c.new.Tree.N:
		return fmt.Errorf("%w: size %d, and %d entries are copied", errBehind, c.new.Tree.N, c.old.Tree.N)
	}
	return nil
}

// publish makes durable what was copied, and then the checkpoint over it.
func (c *mirror) publish() error {
	if err := c.dir.writeMissing(c.missing); err != nil {
		return err
	}
	if _, err := c.dir.put(fmt.Sprintf("notes/%d", c.new.Tree.N), c.newNote); err != nil {
		return err
	}
	if err := c.dir.publish(c.newNote); err != nil {
		return err
	}
	return errors.Join(c.dir.dropPartial(c.oldTree().N, c.new.Tree.N), c.dir.root.RemoveAll(tempName))
}
