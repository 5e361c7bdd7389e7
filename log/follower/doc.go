// Package follower is a log that another process writes. [Open] begins to follow its
// published checkpoints, [Log.Run] goes on with it, and [Log.Handler] serves all that can be
// read; what is to be written is passed on to the process that leads.
package follower
