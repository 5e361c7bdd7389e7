package rekorserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/bench/trillianserver"
)

// V1 is a server of Rekor v1 with all that it needs.
type V1 struct {
	// URL is where it answers; it stays the same through Kill and Restart.
	URL string

	tree                   string // the identifier of its tree in Trillian
	database               *mariadb
	logServer, signer, web *server
}

// startV1 starts MariaDB, Trillian's log server and log signer, and Rekor with a new tree and
// its search index in MariaDB. They die with this process where the system can arrange that
// (Linux).
func startV1(ctx context.Context, cfg config) (s *V1, err error) {
	paths := map[string]string{}
	for _, name := range []string{"rekor-server", "trillian_log_server", "trillian_log_signer"} {
		if paths[name], err = program(name); err != nil {
			return nil, err
		}
	}
	if _, err := mariadbProgram("mariadbd"); err != nil {
		return nil, err
	}
	key, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	schema, err := trillianserver.Schema(ctx, "mysql")
	if err != nil {
		return nil, err
	}
	s = &V1{tree: "0"} // makes one
	if s.database, err = startMariaDB(ctx, cfg.dir, schema); err != nil {
		return nil, err
	}
	trillian := func(name string, more ...string) *server {
		return &server{path: paths[name], dir: cfg.dir, args: func(port string) []string {
			return append([]string{"--logtostderr", "--http_endpoint=", "--storage_system=mysql", "--quota_system=noop",
				"--mysql_uri=" + s.database.dsn(), "--rpc_endpoint=127.0.0.1:" + port}, more...)
		}}
	}
	s.logServer = trillian("trillian_log_server")
	s.signer = trillian("trillian_log_signer", "--force_master", "--pre_election_pause=10ms", "--sequencer_interval=20ms")
	s.web = &server{path: paths["rekor-server"], dir: cfg.dir, args: func(port string) []string {
		return []string{"serve", "--port=" + port, "--rekor_server.address=127.0.0.1", "--rekor_server.hostname=" + cfg.hostname,
			"--rekor_server.signer=" + key, "--trillian_log_server.address=127.0.0.1", "--trillian_log_server.port=" + s.logServer.port,
			"--trillian_log_server.tlog_id=" + s.tree, "--search_index.storage_provider=mysql", "--search_index.mysql.dsn=" + s.database.dsn()}
	}}
	err = errors.Join(s.logServer.start(ctx), s.signer.start(ctx))
	if err == nil {
		err = s.Restart(ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// Kill ends Rekor's own server; its entries remain.
func (s *V1) Kill() { s.web.kill() }

// Restart starts it after Kill, with the same tree.
func (s *V1) Restart(ctx context.Context) error {
	if err := s.web.start(ctx); err != nil {
		return err
	}
	s.URL = "http://" + s.web.address()
	about, err := answer(ctx, s.URL+"/api/v1/log", s.web)
	if err != nil {
		return err
	}
	var log struct {
		TreeID string `json:"treeID"`
	}
	if err := json.Unmarshal(about, &log); err != nil {
		return fmt.Errorf("%s/api/v1/log: %w", s.URL, err)
	}
	s.tree = log.TreeID
	return nil
}

// Said is the end of what Rekor's own server has said.
func (s *V1) Said() string { return s.web.said() }

// stop ends all of it, with SIGKILL. It may be called again.
func (s *V1) stop() {
	for _, p := range []*server{s.web, s.signer, s.logServer} {
		if p != nil {
			p.kill()
		}
	}
	s.database.kill()
}
