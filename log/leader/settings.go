package leader

import (
	"github.com/tuflog/tuflog/log/httpd"
)

// Reload replaces the settings and publishes the checkpoint again, with the
// cosignatures that the policy now requires. The caller makes sure that
// Config.Publisher.Witnesses uses the same policy. If the policy lists logs but not
// this one, Reload returns an error and nothing changes.
func (l *Log) Reload(s httpd.Settings) error {
	if err := l.publisher.Reload(s.Policy); err != nil {
		return err
	}
	l.server.Reload(s)
	return nil
}
