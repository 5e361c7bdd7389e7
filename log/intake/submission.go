package intake

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Submission is a set of files for one repository and their verdicts.
type Submission struct {
	ID         string
	From       quota.Source
	Repository tuf.Digest // a genesis names the repository it will be
	Genesis    bool       // POST /v1/repositories: one root
	waited     bool       // it was held, and is not again
	Paid       bool       // it has a lane, and waits for no judging time in it
	snapshots  []*tuf.Metadata
	Release    func() // returns the submission's share of the queue
	Memory     int64  // about the number of bytes that its parsed files take

	// Decided is closed when every file is integrated or refused.
	Decided chan struct{}

	mu    sync.Mutex
	files []*file     // in the order in which they are judged
	err   error       // trouble with the log's own data: no verdict on the rest
	Token *Registered // of a genesis, where one is given
	full  error       // why a file that should be held is not

	// For the intake alone: files to be judged in this pass and the next, whether
	// this pass has brought anything into the log, and how many came before it.
	todo, again []*file
	progress    bool
	passes      int
}

// file is one file of a submission. The intake decides once; until then status
// is pending and index -1.
type file struct {
	name    string
	role    string
	version int64
	meta    *tuf.Metadata // nil once the submission is decided, or when it does not parse
	status  api.Status
	index   int64
	held    log.Held // with api.StatusHeld
	refusal
}

// refusal is why a file is refused.
type refusal struct{ code, detail string }

// Uploaded is a file as it was received.
type Uploaded struct {
	Name string
	Data []byte
}

// NewSubmission parses the files one after the other. Snapshots and timestamps
// count as files of their own only if leaves, the types of metadata that the log
// takes as leaves of their own, has them, or if the submission has no other
// files.
func NewSubmission(uploads []Uploaded, leaves map[string]bool) *Submission {
	s := &Submission{ID: rand.Text(), Decided: make(chan struct{}), Release: func() {}}
	var vouchers []*file
	for _, u := range uploads {
		m, err := codec.Parse(api.EncodingOf(u.Name), u.Data)
		if err == nil && u.Name == api.AnyPigweed {
			u.Name = m.Type + api.SuffixPigweed
		}
		f := &file{name: u.Name, status: api.StatusPending, index: -1}
		if err != nil {
			f.role, _ = api.RoleOf(u.Name, u.Data, 0)
			f.refuse(api.CodeMalformed, err.Error())
			s.files = append(s.files, f)
			continue
		}
		f.meta, f.version = m, m.Version
		s.Memory += memoryOf(m)
		if f.role, err = api.RoleOf(u.Name, u.Data, m.Version); err != nil {
			f.refuse(api.CodeRoleName, err.Error())
			s.files = append(s.files, f)
			continue
		}
		if m.Snapshot != nil {
			s.snapshots = append(s.snapshots, m)
		}
		if (m.Snapshot != nil || m.Timestamp != nil) && !leaves[m.Type] {
			f.refuse(api.CodeNotLoggedRole, fmt.Sprintf("this log does not take %s metadata as leaves of its own", m.Type))
			vouchers = append(vouchers, f)
			continue
		}
		s.files = append(s.files, f)
	}
	if len(s.files) == 0 {
		s.files = vouchers
	}
	slices.SortStableFunc(s.files, inOrder)
	for _, f := range s.files {
		if f.status == api.StatusPending {
			s.todo = append(s.todo, f)
		}
	}
	return s
}

// memoryOf returns about how many bytes a parsed file takes.
func memoryOf(m *tuf.Metadata) int64 { return int64(len(m.File)) + int64(m.Memory()) }

// inOrder is the order in which files are judged.
func inOrder(a, b *file) int {
	return cmp.Or(admit.Compare(a.role, a.version, b.role, b.version), strings.Compare(a.role, b.role), strings.Compare(a.name, b.name))
}

func (f *file) refuse(code, detail string) {
	f.status, f.refusal = api.StatusRefused, newRefusal(code, detail)
}

// because records why a file was refused, though it may be judged again. The first
// reason stays: a later pass, after other files have come into the log, mostly
// finds that another file has taken its place. Only a first reason that nothing
// delegates to the file may be out of date by then.
func (f *file) because(why *admit.Refused) {
	switch f.code {
	case "", api.CodeNotDelegated, api.CodeNoParent:
		f.refusal = newRefusal(why.Code, why.Detail)
	}
}

// MaxDetail is the number of bytes that are kept of the explanation of a
// refusal.
const MaxDetail = 1024

// newRefusal keeps the beginning of a long explanation.
func newRefusal(code, detail string) refusal {
	if len(detail) > MaxDetail {
		detail = strings.ToValidUTF8(detail[:MaxDetail], "") + "…"
	}
	return refusal{code, detail}
}

// finish ends the judging: the remaining files are refused for the reason that
// was recorded, or left without a verdict if err is not nil.
func (s *Submission) finish(err error) {
	s.mu.Lock()
	s.err = err
	waits := slices.ContainsFunc(s.files, func(f *file) bool { return f.status == api.StatusHeld })
	for _, f := range s.files {
		f.meta = nil
		if f.status == api.StatusPending && f.index < 0 && err == nil {
			f.status = api.StatusRefused
			if waits && admit.MayComeLater(f.code) {
				f.detail += "; other files of the submission are held: if it needs one of them, send it again when that is logged"
			}
		}
	}
	s.mu.Unlock()
	s.snapshots, s.todo, s.again = nil, nil, nil
	s.Release()
	close(s.Decided)
}

// IsDecided reports whether every file has a verdict, or judging has failed.
func (s *Submission) IsDecided() bool {
	select {
	case <-s.Decided:
		return true
	default:
		return false
	}
}

// Needs returns the size that the published log must have so that all accepted
// files of the submission are in it.
func (s *Submission) Needs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var size int64
	for _, f := range s.files {
		size = max(size, f.index+1)
	}
	return size
}

// Size returns about how many bytes a submission takes once it is decided.
func (s *Submission) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(512)
	for _, f := range s.files {
		size += int64(len(f.name)+len(f.role)) + MaxDetail + 256
	}
	return size
}

// Registered is the token that a registration gives to the new repository.
type Registered struct {
	Token log.Token
	Text  string // empty where the client chose it
	Added bool   // this registration has stored it
}

// State is the progress of a submission.
type State struct {
	Err   error       // trouble with the log's own data: no verdict on the rest
	Full  error       // why a file that should be held is not
	Token *Registered // of a genesis, where one is given
	Files []FileState // in the order in which they are judged
}

// FileState is the progress of one file. Until the intake has decided it, Status is
// pending and Index is -1.
type FileState struct {
	Name         string
	Role         string
	Version      int64
	Status       api.Status
	Index        int64
	Held         log.Held // with api.StatusHeld
	Code, Detail string   // why it was refused
}

// Root returns the root of a genesis that was read. It is nil if the file does not parse.
// It must be called before the submission is queued.
func (s *Submission) Root() *tuf.Metadata { return s.files[0].meta }

// State returns the progress of the submission.
func (s *Submission) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{Err: s.err, Full: s.full, Token: s.Token, Files: make([]FileState, 0, len(s.files))}
	for _, f := range s.files {
		state.Files = append(state.Files, FileState{f.name, f.role, f.version, f.status, f.index, f.held, f.code, f.detail})
	}
	return state
}

// Unused returns the token that a registration has stored and that must be removed,
// because no repository was opened: its root was refused, or another registration was
// faster. The submission no longer has it then.
func (s *Submission) Unused() *Registered {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := s.Token
	opened := len(s.files) == 1 && s.files[0].status == api.StatusReleased
	if given == nil || !given.Added || opened || s.err != nil {
		return nil
	}
	s.Token = nil
	return given
}

// voucher returns the snapshot that a leaf names, nil if it names none.
func (s *Submission) voucher(leaf leaf.Leaf) *tuf.Metadata {
	for _, v := range s.snapshots {
		if v.FileDigest == leaf.Snapshot && !leaf.Snapshot.IsZero() {
			return v
		}
	}
	return nil
}

// settle decides a file that is in the log.
func (s *Submission) settle(f *file, entry leaf.Leaf, index int64, status api.Status) {
	if entry.Kind == leaf.Evidence {
		status = api.StatusEvidence
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.status, f.index, f.refusal = status, index, refusal{}
}
