package httpd

import (
	"log/slog"
	"net/http"

	"github.com/tuflog/tuflog/log/quota"
)

// quotas returns sources with the default limits, but for those given.
func quotas(cfg quota.Config, limits quota.Limits, token string) *quota.Sources {
	return quota.New(cfg, token, quota.NewTokenBook(nil, slog.New(slog.DiscardHandler)), limits.Or(quota.DefaultLimits))
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
