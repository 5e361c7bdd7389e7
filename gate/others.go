package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// After a start a gate does not know whether its directory is that of its last end, or an
// older copy. Before it signs it looks at the timestamp that is served, and asks the other
// gates which one they signed last. What they show counts only if the vendor has signed it, so
// that no gate can keep another from signing by naming a version.

// others are the places to look at.
type others struct {
	repository *repository
	places     []place
}

// place is where a timestamp is to be seen.
type place struct {
	name   string
	served bool
	look   func(context.Context) ([]byte, error) // nil and no error: nothing is there
}

// askFor is how long the answers of others are waited for.
const askFor = 5 * time.Second

func newOthers(r *repository) *others {
	o := &others{repository: r}
	o.places = append(o.places, place{"the repository at " + fetch.Redacted(r.cfg.Served), true, func(ctx context.Context) ([]byte, error) {
		served := device.Repository{URL: r.cfg.Served, Client: r.gate.client, SameHost: true}
		b, err := served.Fetch(ctx, verify.Request{Role: tuf.RoleTimestamp, MaxLength: maxTimestamp})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return b, err
	}})
	for _, peer := range r.cfg.Gates {
		if peer.URL == "" {
			continue
		}
		o.places = append(o.places, place{"the gate at " + fetch.Redacted(peer.URL), false, func(ctx context.Context) ([]byte, error) {
			return client.Gate{URL: peer.URL, Client: r.gate.client}.Timestamp(ctx, r.id)
		}})
	}
	return o
}

// look asks all places, and returns what those have shown that have answered, by their names;
// nil: nothing is there yet.
func (o *others) look(ctx context.Context) (shown map[string]*tuf.Metadata, troubles []string) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	shown = map[string]*tuf.Metadata{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range o.places {
		wg.Go(func() {
			b, err := p.look(ctx)
			var m *tuf.Metadata
			if err == nil && b != nil {
				m, err = parseTimestamp(b)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				troubles = append(troubles, p.name+": "+err.Error())
				return
			}
			shown[p.name] = m
		})
	}
	wg.Wait()
	slices.Sort(troubles)
	return shown, troubles
}

// agree refuses a timestamp that does not follow what others show, and, as long as not enough
// of them have answered, every one but the last, whose signature is out already. certain says
// that enough have. before and root are the roots that were trusted before and are now.
func (o *others) agree(ctx context.Context, m, last, before, root *tuf.Metadata) (certain bool, err error) {
	all, troubles := o.look(ctx)
	r := o.repository
	version, served, gates, empty := versionOf(last), false, 0, false
	for _, p := range o.places {
		shown, answered := all[p.name]
		if !answered {
			continue
		}
		if shown != nil {
			switch {
			case r.ownSigners(shown, root.Root.KeySet(tuf.RoleTimestamp)) > 0:
				if err := follows(m, shown, p.name); err != nil {
					return false, err
				}
				version = max(version, shown.Version)
			case r.ownSigners(shown, before.Root.KeySet(tuf.RoleTimestamp)) > 0:
				// Nothing by the keys of now is there. Those before may be a thief's, for which
				// they were replaced: what they sign binds nobody, as at clients.
			default:
				troubles = append(troubles, p.name+": its timestamp is not signed by a key of the repository's that is not a gate's")
				continue
			}
		}
		switch {
		case !p.served:
			gates++
		case last == nil && shown == nil:
			empty = true
		case last == nil || shown != nil && shown.Version >= last.Version:
			served = true
		default: // what was published is not taken away again: it is not there that one sees it
			troubles = append(troubles, fmt.Sprintf("%s: it shows no timestamp, or an older one than version %d, which this gate has signed", p.name, last.Version))
		}
	}
	if empty {
		// That may be a wrong path, and this gate's record may be lost: one more has to say that
		// nothing was signed, if there is one.
		served = served || gates > 0 || len(o.places) == 1
		if !served {
			troubles = append(troubles, "the served place shows no timestamp, this gate has no record of one, and no other gate answers")
		}
	}
	certain = served || gates >= r.enoughGates(root)
	if !certain && (last == nil || m.PayloadDigest != last.PayloadDigest) {
		err := refuse(client.CodeInDoubt, "", "this gate has started and does not know yet what was signed last: neither the served timestamp nor %d other gates could be looked at", r.enoughGates(root))
		r.gate.log.Warn("in doubt", "repository", r.cfg.Name, "troubles", strings.Join(troubles, "; "))
		return false, err
	}
	for _, trouble := range troubles {
		r.gate.log.Warn("not looked at", "repository", r.cfg.Name, "trouble", trouble)
	}
	return certain, r.jump(m, version)
}

// caughtUp refuses a version that is too far above the last one, unless a complete timestamp is
// shown that lies between: this gate may have been away, or slower than others, for long. k
// gates have seen each complete one follow those before; a thief of the vendor's key and one
// gate that lies can show none.
func (r *repository) caughtUp(ctx context.Context, m, last, root *tuf.Metadata) error {
	version := versionOf(last)
	if r.jump(m, version) == nil {
		return nil
	}
	keys := root.Root.KeySet(tuf.RoleTimestamp)
	shown, _ := newOthers(r).look(ctx)
	for name, other := range shown {
		if other == nil || r.ownSigners(other, keys) == 0 || len(other.Signers(keys)) < keys.Threshold() {
			continue
		}
		if err := follows(m, other, name); err != nil {
			return err
		}
		version = max(version, other.Version)
	}
	return r.jump(m, version)
}

// enoughGates is how many of the other gates have to answer so that one of them has signed
// every timestamp that had all signatures with this gate's among them.
func (r *repository) enoughGates(root *tuf.Metadata) int {
	keys := root.Root.KeySet(tuf.RoleTimestamp)
	gates := 0
	for _, id := range keys.Identities() {
		if slices.Contains(r.keys, id) {
			gates++
		}
	}
	own := len(keys.Identities()) - gates
	k := max(1, keys.Threshold()-own) // gates that a timestamp needs at least
	return gates - k + 1
}
