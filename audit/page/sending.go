package page

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/internal/room"
)

// An answer that is being sent takes a line for each lineSize of its bytes, which stay in
// memory until they are taken. There are maxLines, up to linesPerAddress for one address. Who
// takes most of them loses the answer that was begun first when there is none for another.
const (
	lineSize        = 256 << 10
	maxLines        = 1024
	linesPerAddress = 128
	// sendFor is how long a reader may take for an answer, and slowest the bytes a second that
	// it may take for a long one.
	sendFor = 30 * time.Second
	slowest = 16 << 10
)

// answer is an answer that is being made, and from its first byte on being sent.
type answer struct {
	http.ResponseWriter
	guard   *guard
	address string
	made    func()
	shared  bool // its bytes are in memory anyway
	begun   bool
	lines   []*room.Place
}

// shared says that the bytes of an answer are not there for its sake.
func shared(w http.ResponseWriter) {
	if a, ok := w.(*answer); ok {
		a.shared = true
	}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Write implements io.Writer. What is written first is the answer, or its first part.
func (a *answer) Write(b []byte) (int, error) {
	a.begin(len(b))
	return a.ResponseWriter.Write(b)
}

// ReadFrom implements io.ReaderFrom, for files.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	a.begin(0)
	return io.Copy(a.ResponseWriter, r)
}

// begin ends the making of the answer: its place is free for another one.
func (a *answer) begin(size int) {
	if a.begun {
		return
	}
	a.begun = true
	a.made()
	connection := http.NewResponseController(a.ResponseWriter)
	whole, err := strconv.Atoi(a.Header().Get("Content-Length"))
	// Some writers have no deadlines. What is sent in parts without a length has the server's.
	if err == nil {
		_ = connection.SetWriteDeadline(time.Now().Add(sendFor + time.Duration(whole/slowest)*time.Second))
	}
	lines := 1
	if !a.shared {
		lines = max(1, min((size+lineSize-1)/lineSize, linesPerAddress))
	}
	for range lines {
		if line, ok := a.guard.lines.Enter(a.address, func() { _ = connection.SetWriteDeadline(time.Unix(1, 0)) }); ok {
			a.lines = append(a.lines, line)
		}
	}
}

// sent gives the lines back.
func (a *answer) sent() {
	for _, line := range a.lines {
		line.Leave()
	}
}
