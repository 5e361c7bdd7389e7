package monitor

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/audit/alert"
)

// A log that waits for the outbox keeps neither another one nor the metrics from it.
func TestTheDeskIsShared(t *testing.T) {
	d, err := alert.Open(t.Context(), filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m := &Monitor{}
	m.desk.now = d
	err = m.alert(func(d *alert.Desk) error { // of one log
		registry := prometheus.NewRegistry()
		if err := registry.Register(&m.desk); err != nil {
			return err
		}
		if _, err := registry.Gather(); err != nil {
			return err
		}
		return m.alert(func(d *alert.Desk) error { return d.Flush(t.Context()) }) // of another
	})
	if err != nil {
		t.Error(err)
	}
}
