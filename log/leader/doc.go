// Package leader is a log that this process writes: [Open] assembles its intake, its
// publisher and its index, [Log.Run] runs them, and [Log.Handler] serves it. Package
// follower is its counterpart for a log that another process writes.
package leader
