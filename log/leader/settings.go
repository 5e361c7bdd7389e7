package leader

import (
	"github.com/tuflog/tuflog/log/httpd"
)

// Reload replaces the settings, and publishes the checkpoint anew, with the
// cosignatures that the policy now asks for. The caller sees to it that the Witnesses
// of the PublisherConfig go by the same policy. It is an error, and nothing changes, if
// the policy lists logs and not this one.
func (l *Log) Reload(s httpd.Settings) error {
	if err := l.publisher.Reload(s.Policy); err != nil {
		return err
	}
	l.server.Reload(s)
	return nil
}
