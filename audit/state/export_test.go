package state

// For the tests of users.
var (
	ErrUnknownFinding = errUnknownFinding
	ParseV1           = parseV1
)
