package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Limits of what is read from a vantage.
const (
	maxRoots = 64        // versions of root that are looked for behind the newest logged one, and before it
	maxRoles = 10_000    // files that a snapshot lists
	maxBytes = 512 << 20 // of all files
	maxJunk  = 32 << 20  // of those that the keys did not sign
)

// Source serves a repository's metadata. A device.Repository is one, and a device.Folder.
type Source interface {
	// Fetch returns a file. Its error is fs.ErrNotExist if it is not there.
	Fetch(ctx context.Context, r verify.Request) ([]byte, error)
}

// Vantage is a place from which the repository is seen.
type Vantage struct {
	Name   string
	Source Source
	// Partial means that it has only what somebody has needed, as the cache of a device: a
	// file of a delegated role that is not there is not missing, if the snapshot lists it
	// by the hash of a release.
	Partial bool
}

// Compare reads what each vantage serves, and says of each file whether it is logged, and
// which other vantages serve another one. The rows are in the order of the vantages and of
// the roles: root, targets, delegated roles, snapshot, timestamp. The error means that a
// file of the log could not be read; what a vantage does not serve is a row.
func (s *Subject) Compare(ctx context.Context, vantages []Vantage) ([]Row, error) {
	var rows []Row
	for _, v := range vantages {
		r := &reading{s: s, v: v}
		if err := r.all(ctx); err != nil {
			return rows, err
		}
		slices.SortStableFunc(r.rows, func(a, b Row) int {
			return cmp.Or(cmp.Compare(tuf.Rank(a.Role), tuf.Rank(b.Role)), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Version, b.Version))
		})
		rows = append(rows, r.rows...)
	}
	s.differ(ctx, rows)
	return rows, nil
}

// differ notes which vantages serve something else of a role.
func (s *Subject) differ(ctx context.Context, rows []Row) {
	last := map[string][]*Row{} // by role, the highest version of each vantage
	for i := range rows {
		row := &rows[i]
		if row.Version == 0 {
			continue
		}
		list := last[row.Role]
		if n := len(list); n > 0 && list[n-1].Vantage == row.Vantage {
			list[n-1] = row
		} else {
			last[row.Role] = append(list, row)
		}
	}
	pairs := map[[2]tuf.Digest]Verdict{} // of payloads that were compared
	for _, list := range last {
		for _, row := range list {
			for _, other := range list {
				if other.Version == row.Version && other.Payload == row.Payload {
					continue
				}
				row.Differs = append(row.Differs, other.Vantage)
				// Neither is logged, or the log has said what there is to say.
				unlogged := row.Verdict == Unlogged || row.Verdict == Untracked
				if other.Version == row.Version && unlogged && row.signed && other.signed && other.file != nil {
					row.Verdict = OtherPayload
					row.Sentence = fmt.Sprintf("it is signed by the keys in force and not in the log, and %s serves another payload of this version", other.Vantage)
					if known, ok := pairs[[2]tuf.Digest{other.Payload, row.Payload}]; ok {
						row.Verdict = known // one file of evidence is enough
						continue
					}
					s.equivocation(ctx, row, other.rival(), row.rival())
					pairs[[2]tuf.Digest{other.Payload, row.Payload}] = row.Verdict
					pairs[[2]tuf.Digest{row.Payload, other.Payload}] = row.Verdict
				}
			}
		}
	}
}

// reading is what one vantage serves.
type reading struct {
	s     *Subject
	v     Vantage
	by    served
	bytes int64
	junk  int64 // of these, that no device accepts
	rows  []Row
}

func (r *reading) all(ctx context.Context) error {
	root, err := r.roots(ctx)
	if err != nil {
		return err
	}
	timestamp, err := r.file(ctx, verify.Request{Role: tuf.RoleTimestamp}, nil)
	if err != nil {
		return err
	}
	listed := tuf.MetaFile{}
	if timestamp != nil && timestamp.Timestamp != nil {
		listed = timestamp.Timestamp.Snapshot()
	}
	snapshot, err := r.file(ctx, r.request(root, tuf.RoleSnapshot, listed.Version), nil)
	if err != nil || snapshot == nil || snapshot.Snapshot == nil {
		return err
	}
	roles := []string{}
	for name := range snapshot.Snapshot.TargetsMetadata() {
		role, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		if len(roles) == maxRoles {
			r.missing(tuf.RoleSnapshot, fmt.Errorf("it lists more than %d files: the rest was not read", maxRoles))
			break
		}
		roles = append(roles, role)
	}
	// Targets may give keys to the others.
	slices.SortStableFunc(roles, func(a, b string) int { return cmp.Compare(tuf.Rank(a), tuf.Rank(b)) })
	for _, role := range roles {
		listed, _ := snapshot.Snapshot.File(role + ".json")
		request := r.request(root, role, listed.Version)
		b, err := r.fetch(ctx, request)
		if r.v.Partial && errors.Is(err, fs.ErrNotExist) && !tuf.IsTopLevel(role) {
			if row, ok, err := r.byHash(ctx, role, listed); err != nil {
				return err
			} else if ok {
				r.rows = append(r.rows, row)
				continue
			}
		}
		if _, err := r.take(ctx, request, b, err, snapshot); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// request asks for a version of a file, by the name that it has in the repository.
func (r *reading) request(root *tuf.Metadata, role string, version int64) verify.Request {
	request := verify.Request{Role: role, Listed: version}
	if root != nil && root.Root.ConsistentSnapshot {
		request.Version = version
	}
	return request
}

// roots reads the newest roots: those from the highest that is logged on, or the last below
// it.
func (r *reading) roots(ctx context.Context) (*tuf.Metadata, error) {
	current, _, err := r.s.repo.Current(ctx, tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	top := current.Leaf.Version
	for version := top; version > max(0, top-maxRoots); version-- {
		b, err := r.fetch(ctx, rootRequest(version))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if m, parseErr := tuf.ParseJSON(b); err == nil && parseErr == nil && m.Version > version {
			break // a folder has the newest root under one name
		}
		if _, err := r.take(ctx, rootRequest(version), b, err, nil); err != nil {
			return nil, err
		}
		break
	}
	for ahead := range int64(maxRoots) {
		request := rootRequest(top + 1 + ahead)
		b, err := r.fetch(ctx, request)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		m, err := r.take(ctx, request, b, err, nil)
		if err != nil {
			return nil, err
		}
		// No device goes on behind a root that the keys before it did not sign, of which
		// anybody can serve any number.
		if m == nil || !r.trusted(&r.rows[len(r.rows)-1]) {
			break
		}
	}
	if len(r.rows) == 0 {
		r.missing(tuf.RoleRoot, fs.ErrNotExist)
	}
	if r.by.root != nil {
		return r.by.root, nil
	}
	if r.by.before.root != nil {
		return r.by.before.root, nil // it says how the files are named
	}
	return r.s.repo.Root(ctx)
}

func rootRequest(version int64) verify.Request {
	return verify.Request{Role: tuf.RoleRoot, Version: version, Listed: version}
}

func (r *reading) fetch(ctx context.Context, request verify.Request) ([]byte, error) {
	if r.junk > maxJunk {
		return nil, fmt.Errorf("more than %d bytes of metadata that the repository's keys did not sign: the rest was not read", int64(maxJunk))
	}
	if request.MaxLength = min(tuf.MaxFileSize, maxBytes-r.bytes); request.MaxLength <= 0 {
		return nil, fmt.Errorf("more than %d bytes of metadata: the rest was not read", int64(maxBytes))
	}
	b, err := r.v.Source.Fetch(ctx, request)
	r.bytes += int64(len(b))
	return b, err
}

// file fetches a file and judges it. It is nil if it is not there or cannot be read, of
// which there is a row.
func (r *reading) file(ctx context.Context, request verify.Request, snapshot *tuf.Metadata) (*tuf.Metadata, error) {
	b, err := r.fetch(ctx, request)
	return r.take(ctx, request, b, err, snapshot)
}

// take judges a file that was fetched, or notes why it was not. The error means that a file
// of the log could not be read.
func (r *reading) take(ctx context.Context, request verify.Request, b []byte, err error, snapshot *tuf.Metadata) (*tuf.Metadata, error) {
	role := request.Role
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var m *tuf.Metadata
	if err == nil {
		m, err = tuf.ParseJSON(b)
	}
	if err == nil && m.Type != tuf.TypeOf(role) {
		err = fmt.Errorf("it is %s metadata", m.Type)
	}
	if err == nil && request.Listed > 0 && m.Version != request.Listed {
		err = fmt.Errorf("it has version %d, and version %d is listed", m.Version, request.Listed)
	}
	if err != nil {
		r.missing(role, err)
		return nil, nil
	}
	row, err := r.s.judge(ctx, role, m, snapshot, &r.by)
	if err != nil {
		return nil, err
	}
	row.Vantage = r.v.Name
	if snapshot != nil {
		if listed, ok := snapshot.Snapshot.File(role + ".json"); ok && listed.Describes(m) != nil {
			row.Sentence += "; it is not the file that the snapshot lists, and devices refuse it"
		}
	}
	if row.signed && row.Verdict.Fails() {
		request.Suffix, request.MaxLength = verify.SidecarSuffix, proofs.MaxProofSize
		if row.Proof, err = r.v.Source.Fetch(ctx, request); err != nil {
			row.Proof = nil // without one no device accepts the file
		}
	}
	r.rows = append(r.rows, row)
	// Only who is trusted names keys.
	if !r.trusted(&row) {
		r.junk += int64(len(b))
	} else {
		switch {
		case m.Root != nil:
			r.by.root = m
		case m.Targets != nil && m.Targets.Delegations != nil:
			r.by.targets = append(r.by.targets, m)
		}
	}
	return m, nil
}

// trusted reports whether a file is one that a device may accept.
func (r *reading) trusted(row *Row) bool {
	return row.Verdict == Logged || row.Verdict == Behind || row.Verdict == Stale || row.signed
}

// missing notes that a file is not served, or cannot be read.
func (r *reading) missing(role string, err error) {
	why := fmt.Sprintf("it cannot be read: %v", err)
	if errors.Is(err, fs.ErrNotExist) {
		why = "it is not there"
	}
	r.rows = append(r.rows, Row{Vantage: r.v.Name, Role: role, Verdict: Missing, Sentence: why, Index: -1})
}

// byHash judges a file that is not there by the hash that the snapshot lists, if it is that
// of a release: devices refuse any other file.
func (r *reading) byHash(ctx context.Context, role string, listed tuf.MetaFile) (Row, bool, error) {
	for _, rec := range r.s.versions[roleVersion{role, listed.Version}] {
		if listed.Hashes["sha256"] != rec.Leaf.Metadata.String() {
			continue
		}
		m, err := r.s.cfg.History.File(ctx, rec.Leaf)
		if err != nil {
			return Row{}, false, err
		}
		row, err := r.s.judge(ctx, role, m, nil, &r.by)
		row.Vantage = r.v.Name
		row.Sentence += "; it is not there, and the snapshot lists it by its hash"
		return row, true, err
	}
	return Row{}, false, nil
}
