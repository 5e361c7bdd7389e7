// Package dirlog opens a log in its directory as one: [Open] opens it to be looked at, with
// the parts as they are needed, and [Log.Write] to be written by this process alone. Ledger,
// checkpoint, entries, files and derived state are packages logdir, tesseralog and sqlite.
package dirlog
