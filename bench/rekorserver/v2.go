package rekorserver

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
)

// V2 is a server of rekor-tiles, and beside it one of static files, as such an instance needs:
// the first takes entries, the second serves the checkpoint and tiles.
type V2 struct {
	// URL is where both answer; it stays the same through Kill and Restart.
	URL string
	// Tiles is the directory that is served.
	Tiles string

	server *server
	front  *http.Server
}

// checkpointInterval is how often a V2 publishes a checkpoint: as often as it can. It answers a
// submission when a checkpoint covers it, for which it looks once a second.
const checkpointInterval = 100 * time.Millisecond

// startV2 starts rekor-tiles' server for a directory. It dies with this process where the
// system can arrange that (Linux).
func startV2(ctx context.Context, cfg config) (*V2, error) {
	path, err := program("posix")
	if err != nil {
		return nil, err
	}
	key, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	s := &V2{Tiles: filepath.Join(cfg.dir, "tiles")}
	if err := os.MkdirAll(s.Tiles, 0o755); err != nil {
		return nil, err
	}
	var more [2]string // of gRPC and metrics
	for i := range more {
		n, err := postgresserver.FreePort()
		if err != nil {
			return nil, err
		}
		more[i] = strconv.Itoa(n)
	}
	s.server = &server{path: path, dir: cfg.dir, args: func(port string) []string {
		return []string{"serve", "--http-port=" + port, "--grpc-port=" + more[0], "--http-metrics-port=" + more[1], "--hostname=" + cfg.hostname,
			"--signer-filepath=" + key, "--storage-dir=" + s.Tiles, "--persistent-antispam",
			"--checkpoint-interval=" + checkpointInterval.String(), "--batch-max-age=20ms"}
	}}
	if err := s.server.start(ctx); err != nil {
		return nil, err
	}
	if err := s.serve(); err != nil {
		s.stop()
		return nil, err
	}
	if _, err := answer(ctx, s.URL+"/checkpoint", s.server); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// serve serves both parts at one URL.
func (s *V2) serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.URL = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	entries := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.server.address()})
	entries.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) { // while it is killed
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	mux.Handle("/api/", entries)
	files := http.FileServer(http.Dir(s.Tiles))
	mux.Handle("/checkpoint", files)
	mux.Handle("/tile/", files)
	s.front = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.front.Serve(l) }() // until stop
	return nil
}

// Kill ends the server that takes entries; what was published is still served.
func (s *V2) Kill() { s.server.kill() }

// Restart starts it after Kill.
func (s *V2) Restart(ctx context.Context) error { return s.server.start(ctx) }

// Said is the end of what the server that takes entries has said.
func (s *V2) Said() string { return s.server.said() }

// stop ends all of it. It may be called again.
func (s *V2) stop() {
	s.server.kill()
	if s.front != nil {
		_ = s.front.Close() // no more requests matter
	}
}
