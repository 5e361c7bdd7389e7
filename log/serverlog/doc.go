// Package serverlog opens a log on servers, which are a tree of Trillian's log server and a
// PostgreSQL database, as one: [Open] opens it to be looked at, while others may serve it,
// and [Log.Write] to be written by this process instead of any front end. A [Log] is what
// log/cluster leads and follows; [Replacement] gives it a new tree; and [Arrive] opens servers
// to which a log is moved. The servers are packages trillianlog and postgres.
package serverlog
