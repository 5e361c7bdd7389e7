package fetch

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ten":
			w.Write([]byte("0123456789"))
		case "/broken":
			http.Error(w, "disk on fire", http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()

	body, err := Get(t.Context(), srv.Client(), srv.URL+"/ten", 10)
	if err != nil || string(body) != "0123456789" {
		t.Fatalf("Get = %q, %v", body, err)
	}
	if _, err := Get(t.Context(), srv.Client(), srv.URL+"/ten", 9); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("ten bytes where nine are allowed: %v", err)
	}
	if _, err := Get(t.Context(), srv.Client(), srv.URL+"/none", 10); !errors.Is(err, ErrNotFound) {
		t.Fatalf("missing file: %v", err)
	}
	_, err = Get(t.Context(), srv.Client(), srv.URL+"/broken", 10)
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 500 || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "disk on fire") {
		t.Fatalf("broken server: %v", err)
	}
}

// A body is read whole, however long it was expected to be, and no more of it than may be.
func TestExpect(t *testing.T) {
	body := strings.Repeat("0123456789", 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
	defer srv.Close()
	for _, expected := range []int64{0, 1, 50, 100, 1000, 1 << 40} {
		got, err := Expect(t.Context(), srv.Client(), srv.URL, 100, expected)
		if err != nil || string(got) != body {
			t.Errorf("expected %d: %q, %v", expected, got, err)
		}
		if _, err := Expect(t.Context(), srv.Client(), srv.URL, 99, expected); !errors.Is(err, ErrTooLarge) {
			t.Errorf("expected %d, more than may be: %v", expected, err)
		}
	}
}
