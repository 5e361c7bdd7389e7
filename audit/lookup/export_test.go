package lookup

// For the tests of users.
var ErrOther = errOther

const MaxShown = maxShown
