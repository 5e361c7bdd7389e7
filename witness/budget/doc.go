// Package budget keeps the add-checkpoint requests of a log within the rate that the log
// has declared to its witnesses.
//
// Lists of logs that public witnesses follow (package witness, ParseList) say of each log
// how many requests it sends a day. A [Rate] is that figure; [Budget] counts each request
// to a witness before it is sent, and refuses the one too many. It holds for any 24 hours,
// not on average: what is sent at once after a quiet time ([Rate.Burst]) is taken from what
// comes in over the day ([Rate.Every]).
//
// A request has a [Kind]. New checkpoints may use all of the budget. Asking again for one
// that the witness did not cosign leaves a reserve for the next new one, and asking again
// for fresh times leaves the reserve and half of what comes in.
//
// The state of each witness is in a [Store], and is there before the request is sent, so a
// restart, or another process that goes on, sends no more: [File] for a log in a directory.
// Where nothing is known of a witness, half of the burst counts as sent.
package budget
