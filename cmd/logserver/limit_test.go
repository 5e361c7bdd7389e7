package main

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limitListener{Listener: inner, free: make(chan struct{}, 1), done: make(chan struct{})}
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 2)
	accept := func() {
		c, err := l.Accept()
		if err == nil {
			c.Close()
		}
		second <- err
	}
	go accept()
	select {
	case err := <-second:
		t.Fatalf("a second connection was accepted: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	// Closed twice, it counts once.
	first.Close()
	first.Close()
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if n := len(l.free); n != 0 {
		t.Errorf("%d connections are counted, and none is open", n)
	}
	// A client that waits for room hears of the end.
	l.free = make(chan struct{}, 1)
	l.free <- struct{}{}
	go accept()
	l.Close()
	l.Close()
	if err := <-second; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
