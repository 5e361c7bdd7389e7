package httpd

import "context"

// Stats is how far the log is.
type Stats struct {
	// Integrated entries have been read back from storage; Signed ones are
	// under a checkpoint in the ledger; Published ones under one that
	// witnesses have cosigned.
	Integrated, Signed, Published int64
	// Queued submissions wait to be judged.
	Queued int
	// Ready is what /readyz says; Reason why not. Halted means that a person
	// has to act, Ended that the log has its last entry.
	Ready, Halted, Ended bool
	Reason               string
	// Leading means that this process writes the log, and does not follow
	// another that does.
	Leading bool
}

// Stats returns how far the log is, as far as the server sees it.
func (s *Server) Stats(ctx context.Context) Stats {
	board := s.view.Board()
	st := Stats{
		Integrated: board.Tree().N,
		Signed:     board.Signed(),
		Published:  board.Published().Tree.N,
		Halted:     board.Halted() != nil,
		Ended:      board.Ended(),
		Ready:      true,
	}
	if p := s.cannotTake(ctx); p != nil {
		st.Ready, st.Reason = false, p.Detail
	} else if err := s.view.Trouble(); err != nil {
		st.Ready, st.Reason = false, err.Error()
	}
	return st
}
