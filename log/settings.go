package log

import (
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Settings are what an operator can change while a log is served.
type Settings struct {
	// Labels, Token and Policy are as in Config and PublisherConfig. That a log
	// asks for a token at all is settled when it is opened.
	Labels map[tuf.Digest]string
	Token  string
	Policy *proofs.Policy
}

// Reload replaces the settings, and publishes the checkpoint anew, with the
// cosignatures that the policy now asks for. The caller sees to it that the Witnesses
// of the PublisherConfig go by the same policy. It is an error, and nothing changes, if
// the policy lists logs and not this one.
func (l *Log) Reload(s Settings) error {
	policy, err := policyFor(s.Policy, l.publisher.keys)
	if err != nil {
		return err
	}
	l.server.reload(s)
	l.publisher.policy.Store(policy)
	l.publisher.anew.Store(true)
	l.publisher.wakeUp()
	return nil
}

// setToken replaces the registration token; empty means that there is none.
func (s *sources) setToken(token string) {
	if token == "" {
		s.registrar.Store(nil)
		return
	}
	sum := tuf.Sum([]byte(token))
	s.registrar.Store(&sum)
}

// reload replaces what the server goes by.
func (s *server) reload(settings Settings) {
	s.labels.Store(&settings.Labels)
	s.sources.setToken(settings.Token)
}
