package postgresserver

import (
	"context"
	"path/filepath"
)

// Replica copies the server as it runs into the directory of cfg, and starts the copy
// as a hot standby that follows it asynchronously, by way of addr, HOST:PORT, at which
// the server is reached. Whatever is cut off there the replica lacks. It can be read at
// once, and written after Promote.
func (s *Server) Replica(ctx context.Context, cfg Config, addr string) (*Server, error) {
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	r := &Server{cfg: cfg, bin: s.bin, runner: s.runner, port: cfg.Port}
	if err := r.runner.giveDir(cfg.Dir); err != nil {
		return nil, err
	}
	_, err = r.run(ctx, nil, "pg_basebackup", "--pgdata", r.data(), "--dbname", databaseURL(addr, "postgres"),
		"--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync")
	if err != nil {
		return nil, err
	}
	return r, r.start(ctx)
}

// Promote ends the following of a replica: it can be written when Promote returns.
func (s *Server) Promote(ctx context.Context) error {
	_, err := s.Exec(ctx, "postgres", "SELECT pg_promote()")
	return err
}
