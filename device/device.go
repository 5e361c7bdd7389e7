package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Origin is where a Device has its files from: a Repository over HTTP, a Folder, or a Bundle
// of package device/bundle. Its data is not trusted.
type Origin interface {
	// Fetch is verify.Source's.
	Fetch(ctx context.Context, r verify.Request) ([]byte, error)
	// CopyTarget writes to w what comes after the first from bytes of the target at path. It
	// may end after one byte more than is listed. Errors of w are wrapped. If there are fewer
	// than from bytes the error wraps ErrShort; that of a target which is not there wraps
	// fs.ErrNotExist.
	CopyTarget(ctx context.Context, w io.Writer, path string, found verify.Lookup, from int64) error
}

// ErrShort is wrapped if an Origin has less of a target than the device has already.
var ErrShort = errors.New("it is shorter than what was fetched of it before")

// Device updates its Store from an Origin. Its caller has the Store's lock.
type Device struct {
	Store  Store
	Origin Origin
	// Progress, if not nil, is called while a target is fetched: with how many of its bytes
	// are there, at the beginning, when an earlier run may have left some, and after each
	// piece.
	Progress func(target string, have, length int64)
	// Wanted are the paths of targets that will be downloaded. What waits for the device's
	// owner in the way of them is found together.
	Wanted []string
	// Warn, if not nil, is called with errors that did not end the update.
	Warn func(error)

	client   *verify.Client
	next     string          // the path of the next trust policy; empty: none is looked for
	stored   verify.State    // as the Store has it
	serial   int64           // of the state that the Store has
	accepted int             // how many files were accepted when it was stored
	warned   int             // of the client's troubles
	parts    map[string]bool // names of the parts that this run continues
}

// source is a Store and an Origin together.
type source struct {
	Store
	Origin
}

// Refresh runs verify.Refresh, and stores the new state, also after a refusal. The
// Client is nil only if the update could not begin. The error is a *verify.Refusal, or that
// of a context that has ended.
func (d *Device) Refresh(ctx context.Context, cfg verify.Config) (*verify.Client, error) {
	c, err := d.refresh(ctx, cfg)
	return c, own(ctx, err)
}

// own makes an error that is not a refusal one: it is about the device's own files.
func own(ctx context.Context, err error) error {
	if err == nil || isRefusal(err) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return &verify.Refusal{Code: verify.CodeDevice, Err: err}
}

func (d *Device) refresh(ctx context.Context, cfg verify.Config) (*verify.Client, error) {
	state, whole, trouble, err := d.Store.state()
	if err != nil {
		return nil, err
	}
	if trouble != nil {
		d.warn(fmt.Errorf("using the other copy of the state: %w", trouble))
	}
	if err := d.Store.recover(); err != nil {
		return nil, err
	}
	d.stored, d.accepted, d.warned, d.next = state, 0, 0, cfg.Install.NextPolicy
	if !whole {
		d.stored = verify.State{} // both copies are written again
	}
	if state, err = d.Store.markGiven(state); err != nil {
		return nil, err
	}
	d.client, err = verify.Refresh(ctx, cfg, state, source{d.Store, d.Origin})
	var r *verify.Refusal
	if errors.As(err, &r) && (d.client == nil && r.Code != verify.CodeSetting || d.client != nil && r.Code == verify.CodeDevice && r.Role == tuf.RoleRoot) {
		r.Code = verify.CodeDevice
		r.Detail = fmt.Sprintf("the device's own %s is damaged, and updater init with the root that it was given puts it back: %s", d.Store.path(fileName(tuf.RoleRoot)), r.Detail)
	}
	if d.client == nil {
		return nil, err
	}
	return d.client, d.end(ctx, err)
}

// end ends a step that ended with err: it looks for what waits behind that which waits, says
// what was in the way, and stores what was learned.
func (d *Device) end(ctx context.Context, err error) error {
	d.client.LookAhead(ctx, d.Wanted)
	for _, trouble := range d.client.Troubles()[d.warned:] {
		d.warn(trouble)
		d.warned++
	}
	if err2 := d.save(); err == nil {
		err = err2
	} else if err2 != nil {
		d.warn(err2)
	}
	if now, _, err := d.Store.State(); err == nil {
		d.serial = now.Serial
	}
	if err := d.Store.keepWaiting(d.client); err != nil {
		d.warn(fmt.Errorf("what waits could not be kept for its report: %w", err))
	}
	return own(ctx, err)
}

// save stores what was learned.
func (d *Device) save() error {
	state := d.client.State()
	if sameState(d.stored, state) {
		return nil
	}
	if err := d.Store.SaveState(state); err != nil {
		return err
	}
	d.stored, d.accepted = state, len(d.client.Accepted())
	return nil
}

// ErrChanged is wrapped if the state that a Device would store takes back what another
// process has stored.
var ErrChanged = errors.New("another process has changed the device's state since: hold the Store's lock as long as the client is in use")

// SaveState stores the state of the Client of Refresh, after that has learned more, as from
// delegated roles. It refuses to take back what another process has stored meanwhile, such
// as its owner's approval: that wraps ErrChanged.
func (d *Device) SaveState(state verify.State) error {
	now, _, err := d.Store.State()
	if err == nil && now.Serial != d.serial {
		err = fmt.Errorf("%s: %w", d.Store.Dir, ErrChanged)
	}
	if err != nil {
		return err
	}
	if err := d.Store.SaveState(state); err != nil {
		return err
	}
	d.serial = max(state.Serial, now.Serial) + 1
	return nil
}

func (d *Device) warn(err error) {
	if d.Warn != nil {
		d.Warn(err)
	}
}

// sameState reports whether storing b after a would change nothing.
func sameState(a, b verify.State) bool {
	x, err := a.Marshal()
	y, err2 := b.Marshal()
	return err == nil && err2 == nil && bytes.Equal(x, y)
}
