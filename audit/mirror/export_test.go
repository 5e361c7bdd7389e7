package mirror

// ErrBehind is for the tests of users.
var ErrBehind = errBehind
