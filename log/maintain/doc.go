// Package maintain checks, moves and repairs what a log stores: [Fsck] holds everything
// against everything else, [Migrate] copies a log, [RecordFromCheckpoint] makes a lost
// ledger anew, and [AppendAction] records what was done by hand.
package maintain
