package source

// MaxConnections is for the tests of users.
const MaxConnections = maxConnections
