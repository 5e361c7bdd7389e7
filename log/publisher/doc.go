// Package publisher turns what storage has integrated into published checkpoints: [Open]
// compares the ledger with storage, [Publisher.Extend] reads new entries back and
// [Publisher.Run] signs, gathers cosignatures and publishes. A [Board] shows what came of
// it; whatever follows a log that another process writes keeps one, too.
package publisher
