package httpd

import (
	"sync"

	"github.com/tuflog/tuflog/log/intake"
)

// polledSize is how many bytes the submissions that can be polled may take, for each
// that there may be.
const polledSize = 32 << 10

// submissions remembers those that were answered with 202, so that they can be
// polled. The oldest are forgotten; a client that asks for one of them sends its files
// again.
type submissions struct {
	limit int
	mu    sync.Mutex
	bytes int64
	byID  map[string]*intake.Submission
	order []string
}

func (m *submissions) add(s *intake.Submission) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]*intake.Submission{}
	}
	if _, ok := m.byID[s.ID]; ok {
		return
	}
	m.bytes += s.Size()
	for len(m.order) > 0 && (len(m.order) >= m.limit || m.bytes > int64(m.limit)*polledSize) {
		oldest := m.order[0]
		m.bytes -= m.byID[oldest].Size()
		delete(m.byID, oldest)
		m.order = m.order[1:]
	}
	m.byID[s.ID] = s
	m.order = append(m.order, s.ID)
}

func (m *submissions) get(id string) (*intake.Submission, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.byID[id]
	return s, ok
}
