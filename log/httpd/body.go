package httpd

import (
	"errors"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
)

// body reads a request's body. h.release gives back its part of the memory for
// submissions.
func (s *Server) body(w http.ResponseWriter, r *http.Request, from quota.Source, limit int64) (b []byte, h *held, p *problem) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, nil, problemf(http.StatusUnsupportedMediaType, api.CodeMediaType, "content encoding %q is not understood", enc)
	}
	if r.ContentLength > limit {
		return nil, nil, tooLarge(limit)
	}
	if p := s.charge(from, max(r.ContentLength, 0)); p != nil {
		return nil, nil, p
	}
	h = &held{s: s, from: from}
	b, err := h.readBody(underlying(w), r, limit)
	if r.ContentLength < 0 {
		s.sources.Spend(from, int64(len(b)))
	}
	if err != nil {
		h.release()
		return nil, nil, unread(w, err, limit)
	}
	return b, h, nil
}

// unread is the reason why a body was not read.
func unread(w http.ResponseWriter, err error, limit int64) *problem {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errNoRoom), errors.Is(err, errGaveWay):
		// Without this net/http reads on before it answers.
		w.Header().Set("Connection", "close")
		return later(api.CodeBusy, "%v", err)
	case errors.As(err, &large):
		return tooLarge(limit)
	}
	return problemf(http.StatusBadRequest, api.CodeBadRequest, "reading the body: %v", err)
}

func noRoom() *problem { return later(api.CodeBusy, "%v", errNoRoom) }

func tooLarge(limit int64) *problem {
	return problemf(http.StatusRequestEntityTooLarge, api.CodeTooLarge, "the body is larger than %d bytes", limit)
}

// underlying returns the writer of net/http, which http.MaxBytesReader asks to
// close the connection of a client that goes on sending.
func underlying(w http.ResponseWriter) http.ResponseWriter {
	if rec, ok := w.(*recorder); ok {
		return rec.ResponseWriter
	}
	return w
}

var (
	// errNoRoom means that other submissions take all the memory for submissions.
	errNoRoom = errors.New("submissions that are being read or wait take all the memory there is for them")
	// errGaveWay means that a body had not come whole when others needed the memory.
	errGaveWay = errors.New("the body had not come whole when the memory was needed for sources that send less")
)

// held is the memory for submissions that a body, and the files read from it, take.
type held struct {
	s    *Server
	from quota.Source
	n    int64
	stay *quota.Stay // while the body is read; then it has all there is
	lane *quota.Lane // that it is in; nil: none
}

// readBody reads a body, which gives way while the client is slow.
func (h *held) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	h.stay = h.s.sources.Memory.Stay(h.from, func() {
		// A pending read returns at once, and nothing else is read from this
		// connection. Where that is not possible, ReadTimeout ends it.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	})
	b, err := h.read(w, r, limit)
	n, ok := h.stay.Keep()
	if h.n = n; !ok {
		return nil, errGaveWay
	}
	return b, err
}

// firstBuffer is how much of a body is made room for at once. More room is made
// as the bytes come, so that a client that promises much and sends it slowly
// takes no room from others; and for all that is announced once an eighth of it has
// come, so that little is copied.
const (
	firstBuffer = 64 << 10
	aheadOf     = 8
)

func (h *held) read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body := http.MaxBytesReader(w, r.Body, limit)
	// One byte more than there will be: the end is seen without growing.
	whole := limit + 1
	if r.ContentLength >= 0 {
		whole = r.ContentLength + 1
	}
	var b []byte
	for {
		if len(b) == cap(b) {
			room := min(max(firstBuffer, 2*int64(cap(b))), whole)
			if r.ContentLength > 0 && aheadOf*int64(len(b)) >= whole {
				room = whole
			}
			if room <= int64(cap(b)) {
				room = int64(cap(b)) + 512 // more comes than was announced
			}
			if !h.stay.Take(room - int64(cap(b))) {
				return nil, errNoRoom
			}
			b = append(make([]byte, 0, room), b...)
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// counts is for when the body has been read: from then on the memory of its files
// counts instead, be it more or less. It is false where there is not enough room.
// A submission that takes all that its source may have is taken.
func (h *held) counts(n int64) bool {
	n = min(n, h.s.sources.Memory.Share)
	if n > h.n {
		if !h.s.sources.Memory.Press(h.from, n-h.n, func() bool { return true }) {
			return false
		}
	} else {
		h.s.sources.Memory.GiveBack(h.from, h.n-n)
	}
	h.n = n
	return true
}

func (h *held) release() {
	h.s.sources.Memory.GiveBack(h.from, h.n)
	h.n = 0
	if h.lane != nil {
		h.lane.Leave()
		h.lane = nil
	}
}

// charge takes a submission with so many bytes off a source's quota, or says when
// there will be enough.
func (s *Server) charge(from quota.Source, bytes int64) *problem {
	err := s.sources.Charge(from, bytes)
	over := (*quota.Over)(nil)
	if !errors.As(err, &over) {
		return nil
	}
	p := problemf(http.StatusTooManyRequests, api.CodeQuota, "%v", over)
	p.retryAfter = int(min(math.Ceil(over.Wait.Seconds()), 3600))
	return p
}
