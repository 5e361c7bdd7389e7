package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// mirror is the file server that devices fetch from: plain files, nothing that
// could be trusted. Each site below it is a TUF repository as one mirror, honest
// or not, serves it.
type mirror struct {
	dir    string
	url    string
	server *http.Server
}

// startMirror serves the folder dir on loopback.
func startMirror(dir string) (*mirror, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &mirror{dir: dir, url: "http://" + l.Addr().String(), server: &http.Server{
		Handler:           http.FileServer(http.Dir(dir)),
		ReadHeaderTimeout: 5 * time.Second,
	}}
	go func() {
		// Serve returns when the mirror is closed; a listener that fails
		// earlier shows as a device that cannot fetch.
		_ = m.server.Serve(l)
	}()
	return m, nil
}

// close stops the mirror.
func (m *mirror) close() error { return m.server.Close() }

// site is one repository on the mirror.
type site struct {
	metadata string // URL of the metadata
	targets  string // URL of the target files
	dir      string // the folder of the metadata
}

// publish puts a site on the mirror.
func (m *mirror) publish(name string, metadata, targets map[string][]byte) (site, error) {
	s := site{
		metadata: m.url + "/" + name + "/metadata/",
		targets:  m.url + "/" + name + "/targets/",
		dir:      filepath.Join(m.dir, name, "metadata"),
	}
	if err := writeFiles(s.dir, metadata); err != nil {
		return site{}, err
	}
	return s, writeFiles(filepath.Join(m.dir, name, "targets"), targets)
}
