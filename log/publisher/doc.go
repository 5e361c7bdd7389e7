// Package publisher turns integrated entries of a storage into published checkpoints:
// [Open] compares the ledger with storage, [Publisher.Extend] reads new entries back and
// [Publisher.Run] signs, gathers cosignatures and publishes. A [Board] shows the result;
// a follower of a log that another process writes keeps one, too.
package publisher
