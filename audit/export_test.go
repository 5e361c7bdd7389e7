package audit

// SetMaxPerKind changes how many findings of a kind are kept of a repository.
func (a *Auditor) SetMaxPerKind(n int) { a.maxPerKind = n }
