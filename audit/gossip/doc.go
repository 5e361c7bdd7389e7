// Package gossip compares checkpoints from anywhere with a log: from another's phone, a
// mailing list, a witness. Begin with [Find], which finds the signed checkpoints in a text,
// and with [Log.Compare], which says of each if it is of the log's history.
//
// That a checkpoint is of one history with the log's is proved from the log's tiles. One
// that is ahead of the log cannot be compared yet, and is not wrong: who shows it may have
// got it first. One that contradicts the log, or another one, is evidence, which anyone can
// check (package evidence).
package gossip
