package anchored

import (
	"net/http"
	"os"
	"testing"
)

// What cannot be written is not taken for written: once there is room again, it is, and a process that
// is started then knows since when the log is not anchored.
func TestNoRoomForPinned(t *testing.T) {
	for name, status := range map[string]int{"refused": http.StatusForbidden, "queue full": http.StatusBadGateway} {
		t.Run(name, func(t *testing.T) {
			w := newKeepers(t, status)
			k := w.open()
			fill := 1
			if status == http.StatusBadGateway {
				fill = MaxQueue + 1
			}
			for n := range fill {
				if n == fill-1 && n > 0 {
					k.count()
					w.must(os.Mkdir(k.ledger.Folder.pinnedFile(), 0o755)) // nothing can be written there
				}
				w.size++
				k.collect()
			}
			if fill == 1 {
				w.must(os.Mkdir(k.ledger.Folder.pinnedFile(), 0o755))
				k.submit(t.Context())
			}
			if k.Status().Trouble == "" || k.Status().Since == 0 {
				t.Errorf("%+v", k.Status())
			}
			since := k.Status().Since
			w.must(os.Remove(k.ledger.Folder.pinnedFile()))
			k.collect()
			k.submit(t.Context())
			k = w.open()
			k.resume()
			waits := k.Status().Queued
			if want := min(MaxQueue, fill-1); waits != want || k.Status().Since != since {
				t.Errorf("%+v, want %d waiting since %d", k.Status(), want, since)
			}
			_, p := k.ledger, k.pinned
			if p.GoneTime == 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}
