package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tuflog/tuflog/log"
)

// A server that ends sessions which are idle costs nobody an answer.
func TestIdleSessionsEnd(t *testing.T) {
	url := newDatabase(t)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	db := open(t, url+separator+"idle_session_timeout=20", 0)
	check(t, db.Create(t.Context(), "log.example", "trillian:1"))
	for range 3 {
		time.Sleep(60 * time.Millisecond)
		_, _, err := db.Log(t.Context())
		check(t, err)
	}
}

// What passes by itself is told from what does not.
func TestUnavailable(t *testing.T) {
	for code, want := range map[string]bool{
		"08006": true, "25006": true, "25P03": true, "25P04": true, "40001": true, "40P01": true, "53100": true, "53300": true,
		"55P03": true, "57014": true, "57P01": true, "57P02": true, "57P03": true, "57P05": true, "58030": true,
		"23505": false, "42501": false, "42P01": false, "P0001": false, "XX001": false, fenced: false,
	} {
		err := wrap("try", fmt.Errorf("within: %w", &pgconn.PgError{Code: code}))
		if got := errors.Is(err, log.ErrUnavailable); got != want {
			t.Errorf("%s: %v; unavailable: %v, want %v", code, err, got, want)
		}
	}
}
