package monitor

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/witness/client"
)

// One answer with an entity tag that is too long for the server itself, as of a proxy on the way,
// costs no further answer, and neither does one that is not right.
func TestLongTag(t *testing.T) {
	conditional := conditional{client: newClient(), most: 1000}
	shown := client.Shown{}
	for name, fetch := range map[string]func(context.Context, string) ([]byte, error){
		"a witness": func(ctx context.Context, url string) ([]byte, error) {
			return conditional.fetch(ctx, url+"/checkpoint")
		},
		"an auditor": func(ctx context.Context, url string) ([]byte, error) {
			shown.URL = url
			return shown.Newest(ctx, "log.example")
		},
	} {
		n, unmodified := 0, 0
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch n++; {
			case n == 1:
				w.Header().Set("ETag", `"`+strings.Repeat("x", 60<<10)+`"`)
			case n == 4:
				w.Header().Set("ETag", `"refused"`)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			case r.Header.Get("If-None-Match") == `"abc"`:
				unmodified++
				w.WriteHeader(http.StatusNotModified)
				return
			case r.Header.Get("If-None-Match") != "":
				w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
				return
			default:
				w.Header().Set("ETag", `"abc"`)
			}
			fmt.Fprint(w, "abc")
		}))
		s.Config.MaxHeaderBytes = maxHeader
		s.Start()
		defer s.Close()
		for i := range 7 {
			if b, err := fetch(t.Context(), s.URL); (err != nil || string(b) != "abc") != (i == 3) {
				t.Errorf("%s, answer %d: %q, %v", name, i+1, b, err)
			}
		}
		if unmodified != 3 { // all but the first two, the refusal and the one behind it
			t.Errorf("%s: %d times unmodified", name, unmodified)
		}
	}
}
