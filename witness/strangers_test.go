package witness_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// slow is a request whose body comes byte by byte.
type slow struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// startSlow sends the head of a request with a body of n bytes, and returns when
// the witness has begun to read that.
func startSlow(t *testing.T, url string, n int) *slow {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(process.Patience)); err != nil {
		t.Fatal(err)
	}
	s := &slow{t, conn, bufio.NewReader(conn)}
	fmt.Fprintf(conn, "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", n)
	if resp := s.answer(); resp.StatusCode != http.StatusContinue {
		t.Fatalf("status %s instead of reading the body", resp.Status)
	}
	return s
}

func (s *slow) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *slow) answer() *http.Response {
	s.t.Helper()
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// A request that has not come whole keeps nobody from being served: with room for a
// single one to be worked on, others are.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Limits.Concurrent = 1 })
	var waiting []*slow
	for range 20 {
		s := startSlow(t, b.url, 2)
		s.send("o")
		waiting = append(waiting, s)
	}
	for range 3 {
		b.log.Grow(1, "")
		b.cosign(b.log.Request(b.log.Size() - 1))
		b.expect(b.do("GET", "/", nil), http.StatusOK, "")
	}
	for _, s := range waiting {
		s.send("x")
		if resp := s.answer(); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a slow request, whole at last, is answered %s", resp.Status)
		}
	}
}

// Of one address so many bodies are waited for at once; one more ends the slowest.
func TestUnreadBodiesPerAddress(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Limits.UnreadPerAddress = 3 })
	var waiting []*slow
	for range 5 {
		s := startSlow(t, b.url, 2)
		s.send("o")
		waiting = append(waiting, s)
	}
	for i, s := range waiting[:2] {
		resp := s.answer()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !resp.Close {
			t.Errorf("request %d is answered %s, Retry-After %s, close %v", i, resp.Status, resp.Header.Get("Retry-After"), resp.Close)
		}
		if _, err := s.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("request %d: its connection is not closed: %v", i, err)
		}
	}
	// The same address is served nevertheless, for the price of one more.
	b.log.Grow(1, "")
	b.cosign(b.log.Request(0))
	if resp := waiting[2].answer(); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the slowest is answered %s", resp.Status)
	}
	for _, s := range waiting[3:] {
		s.send("x")
		if resp := s.answer(); resp.StatusCode != http.StatusBadRequest || resp.Close {
			t.Errorf("a request with a place, whole at last, is answered %s, close %v", resp.Status, resp.Close)
		}
	}
}

// In all so many bodies are waited for; addresses are told apart by the header of a
// proxy, too.
func TestUnreadBodiesInAll(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	w, err := witness.New(witness.Config{Store: b.store, Signers: []witness.Signer{b.signer()}, Now: b.now, Limits: witness.Limits{Unread: 4}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.HandlerBehind("X-Client"))
	t.Cleanup(server.Close)
	from := func(address string) *slow {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		s := &slow{t, conn, bufio.NewReader(conn)}
		fmt.Fprintf(conn, "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nX-Client: %s\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", address)
		if resp := s.answer(); resp.StatusCode != http.StatusContinue {
			t.Fatalf("%s: status %s", address, resp.Status)
		}
		return s
	}
	other := from("192.0.2.2")
	var greedy []*slow
	for range 3 {
		greedy = append(greedy, from("192.0.2.1"))
	}
	from("192.0.2.3")
	from("192.0.2.1")
	for i, s := range greedy[:2] {
		if resp := s.answer(); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("request %d of the greedy address is answered %s", i, resp.Status)
		}
	}
	other.send("ox")
	if resp := other.answer(); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the only request of another address is answered %s", resp.Status)
	}
}

// A log that does not answer when it is looked at keeps no other waiting.
func TestSilentLogHoldsNoPlace(t *testing.T) {
	store := new(witnesstest.Memory)
	b := newBench(t, store)
	looked, silent := make(chan struct{}, 16), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		looked <- struct{}{}
		<-silent
	}))
	t.Cleanup(server.Close)
	quiet := witnesstest.NewLog(t, "quiet.example")
	if err := store.AddLog(context.Background(), witness.NewLog{Key: quiet.Key(), URL: server.URL}); err != nil {
		t.Fatal(err)
	}
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Limits.Concurrent = 1 })
	quiet.Grow(1, "")
	held := make(chan int, 1)
	go func() {
		status, _ := b.from("", quiet.Request(0).Marshal())
		held <- status
	}()
	<-looked
	var answers []answer
	for range 3 {
		old := b.log.Size()
		b.log.Grow(1, "")
		answers = append(answers, b.post(b.log.Request(old).Marshal()))
	}
	close(silent)
	for _, a := range answers {
		b.expect(a, http.StatusOK, "")
	}
	if status := <-held; status != http.StatusServiceUnavailable {
		t.Errorf("status %d for a log that was looked at in vain", status)
	}
}

// Of the requests worked on at once no address has more than a quarter.
func TestWorkIsShared(t *testing.T) {
	store := blocking{new(witnesstest.Memory), make(chan struct{}), make(chan struct{})}
	b := newBench(t, store)
	other := witnesstest.NewLog(t, "other.example")
	b.know(other)
	w, err := witness.New(witness.Config{Store: store, Signers: []witness.Signer{b.signer()}, Now: b.now, Limits: witness.Limits{Concurrent: 4}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.HandlerBehind("X-Client"))
	t.Cleanup(server.Close)
	b.url = server.URL
	done := make(chan int, 2)
	send := func(address string, l *witnesstest.Log) {
		req, err := http.NewRequest("POST", b.url+"/add-checkpoint", strings.NewReader(string(l.Request(0).Marshal())))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("X-Client", address)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		done <- resp.StatusCode
	}
	go send("192.0.2.1", b.log)
	<-store.entered
	send("192.0.2.1", other)
	if status := <-done; status != http.StatusServiceUnavailable {
		t.Errorf("a second request of the address: status %d", status)
	}
	go send("192.0.2.2", other)
	<-store.entered
	close(store.proceed)
	for range 2 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
}
