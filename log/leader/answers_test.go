package leader_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/tuf"
)

// Clients that ask for large files and read nothing take no more memory than there
// is for answers, and once they have gone the files are to be had again.
func TestLargeAnswersAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes large answers side by side")
	}
	const size, room = 8 << 20, 64 << 20
	r := start(t, func(c *leader.Config) { c.Limits.Answers.Capacity = room })
	r.real(t)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	large := file(v, "root").Data // refused as a root, and yet it is a file to be asked for
	large = append(large[:len(large):len(large)], make([]byte, size)...)
	check(t, r.blobs.Put(t.Context(), [][]byte{large}))
	path := fmt.Sprint("/blob/sha256/", tuf.Sum(large))

	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var clients []net.Conn
	for range 80 {
		c, err := net.Dial("tcp", r.http.Listener.Addr().String())
		check(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		check(t, err)
		clients = append(clients, c)
	}
	// One more is told to come later, as soon as the others have what there is.
	deadline := time.Now().Add(30 * time.Second)
	for full := false; !full; {
		resp, body := r.do(t, "GET", path, nil)
		if full = resp.StatusCode == http.StatusServiceUnavailable; full {
			problem(t, resp, body, http.StatusServiceUnavailable, api.CodeBusy)
		} else if time.Now().After(deadline) {
			t.Fatal("large answers are not bounded")
		}
	}
	// Those of another network are answered: one of the many gives way.
	if resp, body := r.do(t, "GET", path, nil, "X-Forwarded-For", "203.0.113.1"); resp.StatusCode != http.StatusOK || len(body) != len(large) {
		t.Errorf("for another network: %d, %d bytes", resp.StatusCode, len(body))
	}
	// Those that were being made have been sent, or were refused.
	for {
		var after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown := int64(after.HeapInuse) - int64(before.HeapInuse)
		if grown < 2*room {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("80 clients that ask for %d MiB take %d MiB, there is room for %d", size>>20, grown>>20, room>>20)
		}
	}
	// What is small is answered, and what is only asked about.
	check(t, v.Release("targets"))
	wantSummary(t, r.submit(t, id, file(v, "targets"), file(v, "snapshot")), file(v, "targets").Name+" targets released")
	if resp, _ := r.do(t, "GET", path, nil, "If-None-Match", "*"); resp.StatusCode != http.StatusNotModified {
		t.Errorf("If-None-Match: status %d", resp.StatusCode)
	}
	for _, c := range clients {
		c.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, body := r.do(t, "GET", path, nil)
		if resp.StatusCode == http.StatusOK && len(body) == len(large) && strings.HasPrefix(string(body), "{") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the room for answers is not given back: %d", resp.StatusCode)
		}
	}
}
