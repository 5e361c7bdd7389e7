package log

import (
	"time"

	"github.com/tuflog/tuflog/log/api"
)

// Observer is told what the log does, for metrics. Its methods are called from
// many goroutines, are not waited for long, and get no words from outside: all
// strings are from short lists.
type Observer interface {
	// Request is called for each answered request. Pattern is one of Routes,
	// or empty for what is not there.
	Request(method, pattern string, status int, took time.Duration)
	// Verdict is called for each file when it is judged: not yet published, if
	// it is accepted. Code is empty, or says why it was refused.
	Verdict(status api.Status, code string)
	// Published is called for each submission with an accepted file when the
	// checkpoint is published under which its files can be proved.
	Published(took time.Duration)
}
