package proofs

// For returns the proof with those signature lines of its checkpoint only that the
// policy can use: by keys of its logs and of its witnesses, whether a quorum needs them
// or not. What Verify says under this policy stays the same, also of signatures that are
// bad; under a policy with other keys it may not, so the lines that are dropped have to
// be kept somewhere. A proof without any line for the policy is returned as it is, and so
// is one whose checkpoint cannot be parsed: those are for Verify to refuse.
func (p Proof) For(policy *Policy) Proof {
	note, err := ParseNote(p.Checkpoint)
	if err != nil || policy == nil {
		return p
	}
	type line struct {
		name string
		id   uint32
	}
	known := make(map[line]bool, len(policy.Logs)+len(policy.Witnesses))
	for _, l := range policy.Logs {
		known[line{l.Key.name, l.Key.id}] = true
	}
	for _, w := range policy.Witnesses {
		known[line{w.Key.name, w.Key.id}] = true
	}
	var kept []Signature
	for _, s := range note.Signatures {
		if known[line{s.Name, s.KeyID}] {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 || len(kept) == len(note.Signatures) {
		return p
	}
	note.Signatures = kept
	p.Checkpoint = note.Marshal()
	return p
}
