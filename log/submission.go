package log

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// submission is a set of files for one repository and what becomes of them.
type submission struct {
	id         string
	from       source
	repository tuf.Digest // a genesis names the repository it will be
	genesis    bool       // POST /v1/repositories: one root
	waited     bool       // it was held, and is not again
	paid       bool       // it has a lane, and waits for no judging time in it
	snapshots  []*tuf.Metadata
	release    func() // gives back what the submission holds of the queue
	memory     int64  // about how many bytes its files take that were read

	// decided is closed when every file is integrated or refused.
	decided chan struct{}

	mu    sync.Mutex
	files []*file     // in the order in which they are judged
	err   error       // trouble with the log's own data: no verdict on the rest
	token *registered // of a genesis, where one is given
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
	held    Held // with api.StatusHeld
	refusal
}

// refusal is why a file is refused.
type refusal struct{ code, detail string }

// uploaded is a file as it came in.
type uploaded struct {
	name string
	data []byte
}

// newSubmission reads the files, in parallel with other submissions but not with
// itself. Snapshots and timestamps count as files of their own where the log
// takes them as leaves, or where there is nothing else.
func newSubmission(uploads []uploaded, leaves map[string]bool) *submission {
	s := &submission{id: rand.Text(), decided: make(chan struct{}), release: func() {}}
	var vouchers []*file
	for _, u := range uploads {
		f := &file{name: u.name, status: api.StatusPending, index: -1}
		m, err := tuf.ParseJSON(u.data)
		if err != nil {
			f.role, _ = api.RoleOf(u.name, u.data, 0)
			f.refuse(api.CodeMalformed, err.Error())
			s.files = append(s.files, f)
			continue
		}
		f.meta, f.version = m, m.Version
		s.memory += memoryOf(m)
		if f.role, err = api.RoleOf(u.name, u.data, m.Version); err != nil {
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

// memoryOf returns about how many bytes a file takes that was read.
func memoryOf(m *tuf.Metadata) int64 { return int64(len(m.File)) + int64(m.Memory()) }

// inOrder is the order in which files are judged.
func inOrder(a, b *file) int {
	return cmp.Or(admit.Compare(a.role, a.version, b.role, b.version), strings.Compare(a.role, b.role), strings.Compare(a.name, b.name))
}

func (f *file) refuse(code, detail string) {
	f.status, f.refusal = api.StatusRefused, newRefusal(code, detail)
}

// because notes why a file was refused, though it may be judged again. The first
// reason stays: what a later pass finds, after other files have come into the log,
// is for the most part that something else has taken the file's place. Only where
// the first was that nothing led to the file there may be something by now.
func (f *file) because(why *admit.Refused) {
	switch f.code {
	case "", api.CodeNotDelegated, api.CodeNoParent:
		f.refusal = newRefusal(why.Code, why.Detail)
	}
}

// maxDetail is how many bytes are kept of what is said about a file.
const maxDetail = 1024

// newRefusal keeps of a long explanation the beginning.
func newRefusal(code, detail string) refusal {
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
	}
	return refusal{code, detail}
}

// finish ends the judging: what is left is refused for the reason that was given,
// or, where err is not nil, left without a verdict.
func (s *submission) finish(err error) {
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
	s.release()
	close(s.decided)
}

// isDecided reports whether the intake is done with it.
func (s *submission) isDecided() bool {
	select {
	case <-s.decided:
		return true
	default:
		return false
	}
}

// needs returns how large the published log must be before the submission's
// accepted files are all in it.
func (s *submission) needs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var size int64
	for _, f := range s.files {
		size = max(size, f.index+1)
	}
	return size
}

// size is about how many bytes a submission takes once it is decided.
func (s *submission) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(512)
	for _, f := range s.files {
		size += int64(len(f.name)+len(f.role)) + maxDetail + 256
	}
	return size
}

// polledSize is how many bytes the submissions that can be polled may take, for each
// that there may be.
const polledSize = 32 << 10

// submissions remembers those that were answered with 202, so that they can be
// polled. The oldest are forgotten; who asks for one of them sends its files
// again.
type submissions struct {
	limit int
	mu    sync.Mutex
	bytes int64
	byID  map[string]*submission
	order []string
}

func (m *submissions) add(s *submission) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]*submission{}
	}
	if _, ok := m.byID[s.id]; ok {
		return
	}
	m.bytes += s.size()
	for len(m.order) > 0 && (len(m.order) >= m.limit || m.bytes > int64(m.limit)*polledSize) {
		oldest := m.order[0]
		m.bytes -= m.byID[oldest].size()
		delete(m.byID, oldest)
		m.order = m.order[1:]
	}
	m.byID[s.id] = s
	m.order = append(m.order, s.id)
}

func (m *submissions) get(id string) (*submission, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.byID[id]
	return s, ok
}
