package api

// Who may register a repository: About.Registration.
const (
	RegistrationOpen    = "open"   // anyone
	RegistrationByToken = "token"  // clients with the operator's token
	RegistrationClosed  = "closed" // nobody
)

// About is the answer to GET / for clients that accept JSON: what the log's page says. It
// is as this front end knows it.
type About struct {
	Origin string   `json:"origin"`
	Keys   []string `json:"keys"` // of the log, as verifier keys
	// Policy is the policy that published checkpoints satisfy, with the log's own keys and
	// without URLs.
	Policy  string `json:"policy"`
	Contact string `json:"contact,omitempty"` // how to reach the operator: a URL, a mail address, or words
	Size    int64  `json:"size"`              // entries of the newest checkpoint; 0: there is none
	// Cosigned is when half of the witnesses, or more, had cosigned it, in RFC 3339; empty:
	// not known.
	Cosigned  string         `json:"cosigned,omitempty"`
	Audited   *AboutAudited  `json:"audited,omitempty"` // nil: the log asks no auditors
	Witnesses []AboutWitness `json:"witnesses"`         // of the policy, in its order
	// PerDay is how many requests in 24 hours the log has declared to each witness, at
	// most; 0: it has declared nothing.
	PerDay       int64  `json:"per_day,omitempty"`
	Registration string `json:"registration"`
	Ended        bool   `json:"ended,omitempty"` // the log takes nothing more
}

// AboutAudited is the newest checkpoint that auditors have cosigned, too.
type AboutAudited struct {
	Size     int64  `json:"size"`               // 0: there is none yet
	Cosigned string `json:"cosigned,omitempty"` // when an auditor did last, in RFC 3339; empty: not known
}

// AboutWitness is a witness of the policy.
type AboutWitness struct {
	Name     string `json:"name"` // in the policy
	Key      string `json:"key"`  // verifier key
	Cosigned bool   `json:"cosigned"`
	Time     string `json:"time,omitempty"` // of its cosignature, in RFC 3339
	// In24h is how many requests it was sent in the last 24 hours, to ten minutes, as
	// far as this front end knows.
	In24h int64 `json:"in_24h"`
}
