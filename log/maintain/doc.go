// Package maintain checks, moves and repairs what a log stores: [Fsck] holds everything
// against everything else, [Reading.Diagnose] says what is wrong with a log and what to do,
// [Move] hands a log over to servers ([Migration] copies its entries), [Forward] brings
// a ledger that is lost or old forward, and [AppendAction] records what was done by hand.
package maintain
