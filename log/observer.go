package log

import (
	"time"

	"github.com/tuflog/tuflog/log/api"
)

// Observer receives the events of a log, for metrics. Its methods are called
// from many goroutines and must return quickly. Their strings are from short
// lists and never come from outside.
type Observer interface {
	// Request is called for each answered request. Pattern is one of the routes
	// of package httpd, or empty if no route matches.
	Request(method, pattern string, status int, took time.Duration)
	// Verdict is called for each file when it is judged; an accepted file is
	// not yet published then. Code is the reason of a refusal, or empty.
	Verdict(status api.Status, code string)
	// Published is called for each submission with an accepted file when a
	// checkpoint that proves its files is published.
	Published(took time.Duration)
}
