// Package follower is a log that another process writes. [Open] reads its published
// checkpoint, [Log.Run] follows it from there, and [Log.Handler] serves everything that can
// be read; requests that write are passed on to the process that leads.
package follower
