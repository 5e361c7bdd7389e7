package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
)

// TestRehearsals is the short form of everything, all at once: what it does is mostly
// waiting. Tests of other packages run at the same time, so how long the log stood still
// is left to the program, run alone.
func TestRehearsals(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills many processes")
	}
	if _, err := postgresserver.Find(); errors.Is(err, postgresserver.ErrMissing) {
		t.Skip(err)
	}
	s := shortSettings
	s.seed = uint64(time.Now().UnixNano())
	t.Logf("seed %d", s.seed)
	h, err := newHarness(t.Context(), s, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	h.Say = t.Logf
	held := func(what string, err error) {
		if errors.Is(err, errSlow) {
			t.Logf("%s: %v", what, err)
		} else if err != nil {
			t.Errorf("%s did not hold: %v", what, err)
		}
	}
	var running sync.WaitGroup
	running.Go(func() {
		k, err := h.killLeaders(t.Context())
		if k != nil {
			k.print(t.Output())
		}
		held("leader", err)
	})
	for _, r := range rehearsals() {
		running.Go(func() {
			rows, err := r.run(t.Context(), h)
			held(r.world, err)
			for _, row := range rows {
				t.Logf("%s: %s: %d injected; %s", r.world, row.Fault, row.Injected, row.Saw())
				held(r.world+": "+row.Fault, row.Held)
			}
		})
	}
	running.Wait()
}

// A link that is cut says nothing, and delivers late what was sent meanwhile.
func TestLink(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }() // until the other side ends
		}
	}()
	k, err := newLink(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", k.addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	hears := func(c net.Conn, patience time.Duration) error {
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	before := dial()
	if err := hears(before, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	k.cut()
	if _, err := io.WriteString(before, "hello"); err != nil {
		t.Fatal(err)
	}
	meanwhile := dial()
	for _, c := range []net.Conn{before, meanwhile} {
		var timeout net.Error
		if err := hears(c, 50*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("through a link that is cut: %v", err)
		}
	}
	k.mend()
	for _, c := range []net.Conn{before, meanwhile} {
		if err := hears(c, 10*time.Second); err != nil {
			t.Errorf("through a link that was mended: %v", err)
		}
	}
	if err := k.close(); err != nil {
		t.Error(err)
	}
	if err := hears(before, 10*time.Second); err == nil {
		t.Error("a link that is closed still answers")
	}
}

func TestPauses(t *testing.T) {
	base := time.Now()
	at := func(seconds int) time.Time { return base.Add(time.Duration(seconds) * time.Second) }
	l := &load{acked: []time.Time{at(1), at(2), at(6), at(7)}}
	for _, tt := range []struct{ from, to, longest, first int }{
		{0, 8, 4, 1}, {3, 8, 3, 6}, {2, 4, 2, 2}, {7, 20, 13, 7},
	} {
		longest, first := l.pauses(at(tt.from), at(tt.to))
		if longest != time.Duration(tt.longest)*time.Second || !first.Equal(at(tt.first)) {
			t.Errorf("%+v: %v, first %v", tt, longest, first.Sub(base))
		}
	}
	k := killing{handOvers: []handOver{{pause: 3 * time.Second}, {pause: mostPause}}}
	if err := k.tooLong(); !errors.Is(err, errSlow) {
		t.Errorf("5 s: %v", err)
	}
	k.handOvers = k.handOvers[:1]
	if err := k.tooLong(); err != nil {
		t.Error(err)
	}
}
