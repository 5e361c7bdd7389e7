package audit

// SetMaxPerKind changes how many findings of a kind are kept of a repository.
func (a *Auditor) SetMaxPerKind(n int) { a.maxPerKind = n }

// SetStanding changes what asking which payloads stand may cost in a repository.
func (a *Auditor) SetStanding(allowed, perByte int64) {
	a.standingAllowed, a.standingPerByte = allowed, perByte
}

// SetLargeEvidence changes how many bytes of large evidence are kept.
func (a *Auditor) SetLargeEvidence(n int64) { a.largeAllowed = n }
