package postgres

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// Front ends that count at one time count everything, and one that refuses changes nothing.
func TestRequests(t *testing.T) {
	url := newDatabase(t)
	var running sync.WaitGroup
	for range 4 {
		db := open(t, url, 0)
		running.Go(func() {
			for range 10 {
				err := db.Requests().Update(t.Context(), "https://w.example/", func(old []byte) ([]byte, error) {
					n := 0
					if old != nil {
						if _, err := fmt.Sscan(string(old), &n); err != nil {
							return nil, err
						}
					}
					return fmt.Append(nil, n+1), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	spent := errors.New("spent")
	var kept string
	for _, witness := range []string{"https://w.example/", "https://new.example/"} {
		err := open(t, url, 0).Requests().Update(t.Context(), witness, func(old []byte) ([]byte, error) {
			kept = string(old)
			return []byte("no"), spent
		})
		if want := map[bool]string{true: "40", false: ""}[witness == "https://w.example/"]; kept != want || !errors.Is(err, spent) {
			t.Errorf("%s: kept %q, want %q; %v", witness, kept, want, err)
		}
	}
}
