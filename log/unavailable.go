package log

import "errors"

// ErrUnavailable means that a server which the log's storage or state depends on
// cannot be reached, or has no connection to spare. Nothing is wrong with what was
// asked: the same may succeed in a few seconds, and HTTP says 503.
var ErrUnavailable = errors.New("not available at the moment")
