// Package alert tells people of findings. Begin with [Open], which opens the outbox, and
// with [Desk.Follow], which takes what has changed in an auditor's state; [Desk.Run] delivers
// it.
//
// A finding that opens, and one that closes, is an [Event] with an id that follows from
// the log's origin, the finding's digest and the number of times that it has opened: so
// that a process that dies at any moment and begins again makes the same events, each
// under the same id. They are kept in an outbox, one SQLite file, from the moment at
// which Follow returns until each destination has taken them. What was on its way
// when a process died comes again, under the same id.
//
// An outbox belongs to the states of its logs: a finding whose opening was told is known
// by its digest, and a replay from entry 0 tells nothing twice. Whoever loses the outbox
// is told again of the findings that are open, under the ids of their first time.
//
// # Destinations
//
// Where an event goes is said by routes: the first that matches. A destination has a
// queue of its own and a goroutine that empties it, so that a slow or dead one delays
// neither another nor the auditor. One that has failed for days is switched off, which
// the others are told, until its settings change or somebody enables it.
//
// # Silence
//
// Whoever is told too much reads nothing. Events of one cause (kind, log, repository) that
// come together, or within a window after a message about it, are one message that counts
// them. What is waiting when a destination comes back, or of very many causes at once, is
// one message with a line for each cause: tampering and equivocation are counted where
// they have one cause, and never left out. Findings that were acknowledged are not told.
// Of what could not be read now, an outage, the daily health mail has a line for the log.
//
// The feeds and files of JSON Lines have each event.
package alert
