// Package log has the contracts of a log server: [Storage] of entries and tiles, [Blobs],
// [State] (what can be looked up), [Ledger] (what was signed), [Checkpoints], and the
// [Halt] with which a log stops that must not go on. The server itself is made of the
// packages below this one:
//
//   - intake judges submissions and appends what they add
//   - publisher reads it back, signs, has it witnessed, and publishes
//   - index keeps the derived state behind the log
//   - registry has the repositories that are judged, quota says who may send how much
//   - httpd serves a log over HTTP; api has its types and a client; packs keeps what
//     those ask for who read the whole log
//   - leader is a log that this process writes: leader.Open is where to begin
//   - follower is a log that another process writes, cluster says which process leads
//   - maintain checks, moves and repairs what is stored
//   - dirlog opens a log in a directory, whose parts are logdir, sqlite and tesseralog;
//     serverlog one on many machines, whose parts are postgres and trillianlog;
//     statetest and storagetest try the parts
//
// A submission goes through these stages, and each holds what the next relies on:
//
//   - read: strictly parsed, in the request's own goroutine (httpd/submit.go)
//   - judged: by admit.Repository against what the log already holds; every
//     repository has one file in flight at most (intake/batch.go)
//   - stored: the files as blobs, then the leaves, one sync each per batch
//   - read back: every new entry is read from storage and hashed onto the
//     publisher's own right edge; only the root computed so is signed
//     (publisher/publisher.go)
//   - signed, and the ledger moved to the new tree (publisher/signing.go)
//   - witnessed by a quorum, published, and only then acknowledged
//
// What follows from the log's entries and blobs, such as which release lists a
// file, is kept in a derived state that lags behind and can be rebuilt from
// them (index/indexer.go).
package log
