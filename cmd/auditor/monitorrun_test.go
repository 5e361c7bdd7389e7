package main

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/page"
)

// slowReader takes nothing of an answer until it is released.
type slowReader struct {
	*httptest.ResponseRecorder
	asked, release chan struct{}
}

func (s *slowReader) Write(b []byte) (int, error) {
	close(s.asked)
	<-s.release
	return 0, errors.New("gone")
}

// A reader who does not read holds up neither other pages nor the end, and others are
// answered meanwhile.
func TestPagesWithASlowReader(t *testing.T) {
	log := audittest.New(t)
	fresh := func() *page.Server {
		s, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Logs: []page.Log{{Name: "one", StateDir: t.TempDir(), Policy: log.Policy(), Source: log.Source()}}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var p pages
	if err := p.replace(fresh()); err != nil {
		t.Fatal(err)
	}
	first := p.now
	slow := &slowReader{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	left := make(chan struct{})
	go func() {
		defer close(left)
		p.ServeHTTP(slow, httptest.NewRequest(http.MethodGet, "/about", nil))
	}()
	<-slow.asked
	if err := p.replace(fresh()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/about", nil))
	if w.Code != http.StatusOK {
		t.Errorf("another reader: %d", w.Code)
	}
	p.close()
	w = httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/about", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("after the end: %d", w.Code)
	}
	if !first.old || first.answers != 1 {
		t.Errorf("the first pages: old %v, %d answers", first.old, first.answers)
	}
	close(slow.release)
	<-left
	if first.answers != 0 {
		t.Errorf("%d answers of the first pages are left", first.answers)
	}
}
