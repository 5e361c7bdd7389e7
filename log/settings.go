package log

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
