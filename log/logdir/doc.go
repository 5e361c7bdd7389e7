// Package logdir keeps the ledger and the published checkpoint of a log in one
// directory: [OpenLedger] and [NewCheckpoint]. A log that has moved away leaves a note
// there, which [ReadMoved] finds, so that it is never written again.
package logdir
