package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// stranger is a connection on which a request stays unfinished.
type stranger struct {
	net.Conn
	r *bufio.Reader
}

// strangerAt announces a body of 64 KiB from an address of this host and sends one
// byte of it, once the witness has begun to read it.
func strangerAt(address, url string) (stranger, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := d.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return stranger{}, err
	}
	s := stranger{conn, bufio.NewReader(conn)}
	err = conn.SetDeadline(time.Now().Add(process.Patience))
	if err == nil {
		_, err = io.WriteString(conn, "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 65536\r\nExpect: 100-continue\r\n\r\n")
	}
	if err == nil {
		err = s.expect(http.StatusContinue)
	}
	if err == nil {
		_, err = io.WriteString(conn, "o")
	}
	return s, err
}

// expect reads an answer.
func (s stranger) expect(status int) error {
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("status %s, want %d", resp.Status, status)
	}
	return err
}

// finish sends the rest of the body.
func (s stranger) finish() error {
	if _, err := s.Write(make([]byte, 65535)); err != nil {
		return err
	}
	return s.expect(http.StatusBadRequest)
}

// clientAt is a client of a witness at an address of this host.
func clientAt(address string, p *serving, key proofs.Key) *client.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c := p.client(key)
	c.HTTP = &http.Client{Transport: &http.Transport{DialContext: d.DialContext}, Timeout: process.Patience}
	return c
}

// TestStrangersHoldNoPlaces: whoever sends requests that do not end, from one
// address or from a hundred, keeps no log waiting, not even one at his own address.
func TestStrangersHoldNoPlaces(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p := serveProgram(t, dir)
	served := func(from string) {
		t.Helper()
		c := clientAt(from, p, key)
		for range 5 {
			old := log.Size()
			log.Grow(1, "")
			if _, err := c.AddCheckpoint(t.Context(), log.Request(old)); err != nil {
				t.Fatalf("from %s, size %d: %v", from, log.Size(), err)
			}
		}
		if status, _ := get(t, p.URL+"/"); status != http.StatusOK {
			t.Errorf("the status page: %d", status)
		}
	}

	const room, many = 16, 530 // more than may be worked on at once
	var strangers []stranger
	enter := func(address string, n int) {
		t.Helper()
		for range n {
			s, err := strangerAt(address, p.URL)
			if err != nil {
				t.Fatalf("stranger %d, at %s: %v", len(strangers), address, err)
			}
			t.Cleanup(func() { s.Close() })
			strangers = append(strangers, s)
		}
	}
	enter("127.0.0.1", many)
	served("127.0.0.1")
	served("127.0.0.2")
	// Two addresses were served: the first of them at the price of a place.
	for i, s := range strangers {
		if i < many-room {
			if err := s.expect(http.StatusServiceUnavailable); err != nil {
				t.Fatalf("stranger %d of %d: %v", i, many, err)
			}
		} else if i > many-room {
			if err := s.finish(); err != nil {
				t.Errorf("stranger %d of %d, whole at last: %v", i, many, err)
			}
		}
	}

	strangers = nil
	for i := range 100 {
		enter(fmt.Sprintf("127.0.1.%d", i+1), 5)
	}
	enter("127.0.2.1", 2000)
	served("127.0.1.1")
	served("127.0.0.2")
	for i, s := range strangers[1:500] {
		if i%50 == 0 {
			if err := s.finish(); err != nil {
				t.Errorf("stranger %d of a hundred addresses, whole at last: %v", i, err)
			}
		}
	}
}

// One address has so many connections, in whatever state, and other addresses'
// are left alone.
func TestConnectionsPerAddress(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p := serveProgram(t, dir, "--max-connections", "100", "--max-connections-per-address", "20")
	log.Grow(1, "")
	honest := clientAt("127.0.0.2", p, key)
	if _, err := honest.AddCheckpoint(t.Context(), log.Request(0)); err != nil {
		t.Fatal(err)
	}
	var idle, busy []stranger
	for range 15 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.1.1")}}
		c, err := d.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		idle = append(idle, stranger{c, bufio.NewReader(c)})
		s, err := strangerAt("127.0.1.1", p.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		busy = append(busy, s)
	}
	// The idle ones went first, the oldest of them.
	for i, c := range idle {
		_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: w\r\n\r\n")
		if err == nil {
			err = c.expect(http.StatusOK)
		}
		if open := err == nil; open != (i >= 10) {
			t.Errorf("idle connection %d is open: %v", i, open)
		}
	}
	for i, c := range busy {
		if err := c.finish(); err != nil {
			t.Errorf("busy connection %d: %v", i, err)
		}
	}
	if _, err := honest.AddCheckpoint(t.Context(), log.Request(1)); err != nil {
		t.Errorf("on a connection kept before: %v", err)
	}
}

// BenchmarkAddCheckpoint prints how long the slowest hundredth of the requests of a
// log take beside 2,000 connections of one address and 500 of a hundred, on each of
// which a request stays unfinished, and the ratio to the same without them, in turns.
func BenchmarkAddCheckpoint(b *testing.B) {
	dir, key := newWitness(b)
	log := witnesstest.NewLog(b, "log.example")
	mustRun(b, "log", "add", "--dir", dir, log.Key().String())
	p := serveProgram(b, dir, "--max-per-log", "0", "--max-per-address", "0")
	honest := clientAt("127.0.0.2", p, key)
	const rounds, perRound = 6, 500
	round := func() (took []time.Duration) {
		for range perRound {
			old := log.Size()
			log.Grow(1, "")
			r := log.Request(old)
			began := time.Now()
			if _, err := honest.AddCheckpoint(b.Context(), r); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		return took
	}
	p99 := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)*99/100])
	}
	round() // warm
	for b.Loop() {
		var alone, beside []time.Duration
		for range rounds {
			alone = append(alone, round()...)
			leave := strangersAround(b, p.URL)
			beside = append(beside, round()...)
			leave()
		}
		without, with := p99(alone), p99(beside)
		b.ReportMetric(without/1e6, "p99-alone-ms")
		b.ReportMetric(with/1e6, "p99-beside-ms")
		b.ReportMetric(with/without, "p99-ratio")
	}
}

// strangersAround keeps the strangers there until they may leave: one whose
// connection is closed comes again some seconds later.
func strangersAround(b *testing.B, url string) (leave func()) {
	var arrived, all sync.WaitGroup
	stop := make(chan struct{})
	stay := func(address string) {
		arrived.Add(1)
		all.Go(func() {
			first := true
			for {
				s, err := strangerAt(address, url)
				if first {
					arrived.Done()
					first = false
				}
				gone := make(chan struct{})
				if err == nil {
					go func() {
						_, _ = s.r.ReadByte()
						close(gone)
					}()
				} else {
					close(gone)
				}
				select {
				case <-stop:
				case <-gone:
				}
				if s.Conn != nil {
					s.Close()
				}
				<-gone
				select {
				case <-stop:
					return
				case <-time.After(5*time.Second + rand.N(5*time.Second)):
				}
			}
		})
	}
	for range 2000 {
		stay("127.0.2.1")
	}
	for i := range 500 {
		stay(fmt.Sprintf("127.0.1.%d", i%100+1))
	}
	arrived.Wait()
	return func() {
		close(stop)
		all.Wait()
	}
}
