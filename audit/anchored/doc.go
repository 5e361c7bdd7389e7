// Package anchored holds a log to what stands under its key in instances of Rekor, and keeps what
// was put there. Begin with a [Ledger], which is one instance and one log: Submit anchors a
// checkpoint and keeps the receipt, Entries reads what the instance has, and Log.Judge says how
// that fits the log. A [Keeper] does all of it on a schedule.
//
// What an entry proves, and what an orphan does not, package anchor says.
package anchored
