// Package maintain checks, moves and repairs what a log stores, which is opened as a [Log]:
// [Check] holds everything against everything else (with [Fsck] the entries),
// [Reading.Read] and [Reading.Diagnose] say what is wrong with a log and what to do,
// [Reindex] makes what is derived from it anew, [Move] hands a log over to servers
// ([Migration] copies its entries), [Forward] brings a ledger that is lost or old forward,
// [LostFiles] puts files back, [Export] writes a copy for any web server, and [AppendAction]
// records what was done by hand.
package maintain
