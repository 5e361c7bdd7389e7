package leader_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/log/api"
)

// A log lives below a path of which it does not know: what it answers leads nowhere
// else, also where it answers 202 because the witnesses are slow.
func TestBelowAPath(t *testing.T) {
	r := start(t, nil)
	to, err := url.Parse(r.http.URL)
	check(t, err)
	var polled atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.SetXForwarded()
	}}
	mux := http.NewServeMux()
	mux.Handle("/log/", http.StripPrefix("/log", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v1/submissions/") {
			if polled.Add(1)%2 == 0 { // the first poll is answered with 202, too
				r.Witnesses.SetDown(false, false, false)
			} else {
				req.Header.Set("Prefer", "wait=0")
			}
		}
		proxy.ServeHTTP(w, req)
	})))
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		t.Errorf("asked for %s", req.URL)
		http.NotFound(w, req)
	})
	front := httptest.NewServer(mux)
	defer front.Close()

	for _, slash := range []string{"", "/"} {
		client := &api.Client{Base: front.URL + "/log" + slash, Prefer: 1} // of which no second is left
		vendor := newVendor(t)
		r.Witnesses.SetDown(true, true, true)
		res, err := client.Register(t.Context(), file(vendor, "root").Data)
		if err != nil || !res.Done || res.Results[0].Status != api.StatusReleased {
			t.Fatalf("register: %+v, %v", res, err)
		}
		r.Witnesses.SetDown(true, true, true)
		sent, err := client.Submit(t.Context(), res.Repository, []api.File{file(vendor, "targets"), file(vendor, "snapshot")})
		if err != nil || !sent.Done || sent.Results[0].Status != api.StatusReleased {
			t.Fatalf("submit: %+v, %v", sent, err)
		}
		if _, err := client.Repository(t.Context(), res.Repository); err != nil {
			t.Fatal(err)
		}
	}
	if polled.Load() < 8 {
		t.Errorf("polled %d times", polled.Load())
	}
}
