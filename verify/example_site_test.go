package verify_test

import (
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/tuflog/tuflog/bench/testrepo"
)

// must ends the program if there is an error.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// exampleVendor makes the folder of testrepo.
func exampleVendor() (dir string, remove func()) {
	dir = must(os.MkdirTemp("", "example"))
	must(0, testrepo.Write(dir))
	return dir, func() { os.RemoveAll(dir) }
}

// exampleSite serves the folder of exampleVendor as well.
func exampleSite() (url, dir string, remove func()) {
	dir, removeDir := exampleVendor()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	return server.URL, dir, func() { server.Close(); removeDir() }
}
