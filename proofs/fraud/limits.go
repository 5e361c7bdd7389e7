package fraud

import "github.com/tuflog/tuflog/proofs"

// Limits of the files.
const (
	MaxConflictSize   = 2*proofs.MaxNoteSize + 8<<10 // bytes: two notes, and the hashes before them
	MaxAccusationSize = 64 << 20                     // bytes
	MaxAccusedEntries = 16 << 10                     // entries of all spans of an Accusation
	maxAccusedFiles   = 4096
	maxAccusedNotes   = 2
	maxSubject        = 4096 // bytes
)
