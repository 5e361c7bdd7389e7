package intake

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/log/quota"
)

// quotas returns sources with the default limits, but for those given, and a clock that the test moves.
func quotas(cfg quota.Config, limits quota.Limits, token string) (*quota.Sources, *time.Time) {
	now := time.Unix(1700000000, 0)
	cfg.Now = func() time.Time { return now }
	return quota.New(cfg, token, quota.NewTokenBook(nil, slog.New(slog.DiscardHandler)), limits.Or(quota.DefaultLimits)), &now
}

func request(remote, forwarded, token string) *http.Request {
	r := &http.Request{RemoteAddr: remote, Header: http.Header{}}
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}
