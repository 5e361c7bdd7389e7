package log

import "errors"

// Halt is a state in which the log must not sign until a person has looked:
// going on could show two histories to two readers.
type Halt struct {
	Code HaltCode
	What string // the finding, with sizes and roots
	Do   string // the operator's next step
}

// HaltCode is the reason why a log has stopped, in one stable word.
type HaltCode string

// The reasons.
const (
	HaltStorageBehind  HaltCode = "storage-behind"  // storage has less than was signed
	HaltStorageForked  HaltCode = "storage-forked"  // storage does not begin with the signed tree
	HaltStorageDamaged HaltCode = "storage-damaged" // entries and tiles of storage contradict each other
	HaltForeignEntry   HaltCode = "foreign-entry"   // an entry that this log would not have admitted
	HaltRepeatedEntry  HaltCode = "repeated-entry"  // an entry that the log has already, once more
	HaltFilesLost      HaltCode = "files-lost"      // the file of an entry that was not signed yet is not there
	HaltLedgerBehind   HaltCode = "ledger-behind"   // more was published than the ledger knows
	HaltLedgerTaken    HaltCode = "ledger-taken"    // someone else wrote the ledger
	HaltPublishedFork  HaltCode = "published-fork"  // the published tree is not a prefix of the log
	HaltEnded          HaltCode = "ended"           // entries behind the log's end
	HaltEnding         HaltCode = "ending"          // the log's end is there and was not signed
)

func (h *Halt) Error() string { return "the log must not go on: " + h.What + ". " + h.Do }

// ErrEnded means that the log has its last entry.
var ErrEnded = errors.New("the log has ended: its last entry says so, and nothing is taken behind it")
