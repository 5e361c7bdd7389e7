// Package cluster decides which of several front ends of one log leads it, which is to say
// writes it, and lets all of them serve it.
//
// Begin with [Open], which makes a [Node] of a [Config]: Node.Start follows the log,
// Node.Run campaigns for the lease and leads, and the Node serves HTTP meanwhile, under any
// leader. The questions of this package have a file each:
//
//   - node.go: the parts of a front end, how it starts, follows and reloads
//   - election.go: which front end leads; what one does that failed to, or has stopped
//   - lead.go: leading, from the lease that was taken to the one that is given up
//   - yield.go: when a leader leaves the lease to another front end of its own accord
//   - able.go: whether a front end could lead
//   - frontends.go: the rows in which front ends describe themselves, and read of each other
//   - forward.go: how a [Forwarder] passes requests on to the front end that leads
//   - front.go: how a [Front] serves the present log of a process, be it followed or led
//
// The lease itself, and the rows in which front ends say how they are, belong to a
// database; the entries belong to a storage. This package knows them as [Leases], [Lease],
// [FrontEnds] and [Storage] (config.go). That two leaders never write at once is the work
// of the lease: of this package, safety needs only that all writing goes through the
// storage that Lease.Open has opened.
package cluster
