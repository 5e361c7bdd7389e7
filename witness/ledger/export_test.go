package ledger

// SetMinCompact makes the ledger be rewritten sooner.
func (l *Ledger) SetMinCompact(n int64) { l.minCompact = n }
