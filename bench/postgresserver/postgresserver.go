// Package postgresserver runs a PostgreSQL server of one's own, in a directory
// of its own, for tests, demonstrations and rehearsals of failures. It needs
// the server programs of the system and nothing else: no service, no role, no
// database that was there before. Anybody on the machine may connect to it.
//
// The directory holds the data directory (data), what the server says
// (postgres.log) and, where its path is short enough for one, the server's Unix
// socket. PostgreSQL refuses to run as root: started by root it runs as the user
// postgres, to whom the directory is given.
package postgresserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrMissing is returned where the machine has no PostgreSQL server programs.
var ErrMissing = errors.New("PostgreSQL's server programs (initdb, postgres) are missing: install Debian's package postgresql, or put their directory on PATH")

// Superuser is the role that connects, in every database.
const Superuser = "postgres"

const (
	startTime = 60 * time.Second // until a server answers, crash recovery included
	stopTime  = 30 * time.Second // from the request to SIGKILL
	maxSocket = 90               // bytes of a directory that still takes a socket's name
)

// Config says where a server lives.
type Config struct {
	// Dir is the server's directory. It is made if it is missing; a data
	// directory of an earlier run is used again. Root gives it to the user
	// postgres, and opens the directories above it that lie in the system's
	// directory for temporary files so far that postgres can pass.
	Dir string
	// Port is the TCP port on 127.0.0.1. Zero means one that is free.
	Port int
	// Settings are settings of postgresql.conf that take precedence, such as
	// "max_connections": "20".
	Settings map[string]string
	// Databases are made, empty, when the data directory is.
	Databases []string
}

// Server is a running server.
type Server struct {
	cfg    Config
	bin    string
	runner *runner
	port   int

	mu   sync.Mutex // one start, stop or kill at a time
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Find returns the directory with the server programs: the newest version that
// Debian has installed, or the one on PATH. The error is ErrMissing.
func Find() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // 0, the oldest, when it is no number
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, dir := range dirs {
		if isFile(filepath.Join(dir, "initdb")) && isFile(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", ErrMissing
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Start starts a server, makes its data directory if there is none, and returns
// when it answers. The server dies with this process where the system can
// arrange that (Linux), by PostgreSQL's immediate shutdown.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, bin: bin, port: cfg.Port}
	if s.runner, err = newRunner(); err != nil {
		return nil, err
	}
	if err := s.runner.giveDir(cfg.Dir); err != nil {
		return nil, err
	}
	fresh := !isFile(filepath.Join(s.data(), "PG_VERSION"))
	if fresh {
		if err := s.initDB(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for _, name := range cfg.Databases {
		if !fresh {
			break
		}
		if err := s.CreateDatabase(ctx, name); err != nil {
			return nil, errors.Join(err, s.Kill())
		}
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.cfg.Dir, "data") }

func (s *Server) initDB(ctx context.Context) error {
	if err := os.RemoveAll(s.data()); err != nil { // remains of one that was interrupted
		return err
	}
	_, err := s.run(ctx, nil, "initdb", "--pgdata", s.data(), "--username", Superuser, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	return err
}

// start starts the server on its port, or on one that is free.
func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != nil {
		select {
		case <-s.done:
		default:
			return errors.New("PostgreSQL is running already")
		}
	}
	const attempts = 5 // others take free ports too
	for i := 1; ; i++ {
		if s.cfg.Port == 0 && s.cmd == nil {
			var err error
			if s.port, err = FreePort(); err != nil {
				return err
			}
		}
		err := s.launch(ctx)
		if err == nil || i == attempts || ctx.Err() != nil || s.cfg.Port != 0 {
			return err
		}
	}
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on: none of those that
// systems give to whoever asks for any, so that it is still free when a server that
// was killed starts again.
func FreePort() (port int, err error) {
	const first, end = 10240, 32768 // Linux gives away what follows
	for range 100 {
		port = first + rand.IntN(end-first)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// launch starts the server once and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	out, err := os.OpenFile(s.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	before, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), s.arguments()...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.cfg.Dir, environment(), s.runner.attr(true)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := s.waitReady(ctx, done); err != nil {
		_ = cmd.Process.Kill() // fails only when it has ended
		<-done
		return fmt.Errorf("start PostgreSQL: %w: %s", err, said(s.log(), before))
	}
	s.cmd, s.done = cmd, done
	return nil
}

func (s *Server) log() string { return filepath.Join(s.cfg.Dir, "postgres.log") }

func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"max_connections":         "200",
		"max_wal_size":            "1GB",
		"autovacuum_naptime":      "1s", // new tables are analysed soon
		"log_destination":         "stderr",
		"logging_collector":       "off",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if len(s.cfg.Dir) <= maxSocket {
		settings["unix_socket_directories"] = s.cfg.Dir
	}
	maps.Copy(settings, s.cfg.Settings)
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

func (s *Server) waitReady(ctx context.Context, done <-chan struct{}) error {
	deadline := time.Now().Add(startTime)
	for {
		_, err := s.run(ctx, nil, "psql", "--no-psqlrc", "--quiet", "--dbname", s.URL("postgres"), "--command", "SELECT 1")
		if err == nil {
			// Another server may answer on that port: ours must be alive.
			select {
			case <-done:
				return errors.New("it ended")
			default:
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within %v (%w)", startTime, err)
		}
		select {
		case <-done:
			return errors.New("it ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// said returns the end of what a server wrote into its log since an offset.
func said(path string, since int64) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	b = b[min(since, int64(len(b))):]
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// URL is the connection URL of a database, over TCP.
func (s *Server) URL(database string) string { return databaseURL(s.Addr(), database) }

// Addr is where it listens, HOST:PORT.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func databaseURL(addr, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(Superuser),
		Host:     addr,
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// CreateDatabase makes an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	_, err := s.run(ctx, nil, "createdb", "--maintenance-db", s.URL("postgres"), "--", name)
	return err
}

// Exec runs SQL statements in a database, in one transaction, and returns what
// they return as lines of columns separated by "|".
func (s *Server) Exec(ctx context.Context, database, sql string) (string, error) {
	return Exec(ctx, s.URL(database), sql)
}

// Exec runs SQL statements in the database that a connection URL names.
func Exec(ctx context.Context, url, sql string) (string, error) {
	bin, err := Find()
	if err != nil {
		return "", err
	}
	return run(ctx, &runner{}, bin, strings.NewReader(sql), "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
		"--single-transaction", "--set", "ON_ERROR_STOP=1", "--dbname", url, "--file", "-")
}

// run runs one of PostgreSQL's programs to its end and returns what it printed.
func (s *Server) run(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	return run(ctx, s.runner, s.bin, stdin, name, args...)
}

func run(ctx context.Context, as *runner, bin string, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr, cmd.Stdin = "/", environment(), as.attr(false), stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// environment is ours without what PostgreSQL's programs take as defaults.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
}

// Stop ends the server by a fast shutdown: transactions are broken off, data is
// written. A server that has ended is fine.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server and every process of it with SIGKILL, as a crash of the
// machine would, but for what the system has not written yet.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(how syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	default:
	}
	if how != syscall.SIGKILL {
		_ = s.cmd.Process.Signal(how) // fails only when it has ended
		select {
		case <-s.done:
			return nil
		case <-time.After(stopTime):
		}
	}
	if err := killAll(s.cmd.Process); err != nil {
		return err
	}
	<-s.done
	if how != syscall.SIGKILL {
		return fmt.Errorf("PostgreSQL did not stop within %v and was killed: %s", stopTime, said(s.log(), 0))
	}
	return nil
}

// Restart starts the server again on its old port: after Stop or Kill, or after
// a fast shutdown of one that runs.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Backup makes a base backup of the server, which runs, as an asynchronous standby or an
// archive would have it: everything that was committed up to now, and nothing of later.
func (s *Server) Backup(ctx context.Context, name string) error {
	_, err := s.run(ctx, nil, "pg_basebackup", "--dbname", s.URL("postgres"), "--pgdata", s.backup(name), "--wal-method", "stream", "--checkpoint", "fast", "--no-sync")
	return err
}

func (s *Server) backup(name string) string { return filepath.Join(s.cfg.Dir, "backup-"+name) }

// Replace kills the server and starts it again, at the same address, from a backup; what
// it has now takes the backup's place under the name kept.
func (s *Server) Replace(ctx context.Context, name, kept string) error {
	if err := s.Kill(); err != nil {
		return err
	}
	if err := os.Rename(s.data(), s.backup(kept)); err != nil {
		return err
	}
	if err := os.Rename(s.backup(name), s.data()); err != nil {
		return err
	}
	return s.start(ctx)
}

// runner is the user whom the programs run as; the zero value is ourselves.
type runner struct {
	uid, gid int // 0: ourselves
}

func newRunner() (*runner, error) {
	if os.Geteuid() != 0 {
		return &runner{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user to run it as: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &runner{uid, gid}, nil
}

// giveDir makes a directory that the runner can use.
func (r *runner) giveDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if r.uid == 0 {
		return nil
	}
	if err := os.Chown(dir, r.uid, r.gid); err != nil {
		return err
	}
	temp := filepath.Clean(os.TempDir())
	for up := filepath.Dir(dir); up != "/"; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 != 0 {
			continue
		}
		if !strings.HasPrefix(up, temp+"/") {
			return fmt.Errorf("the user postgres, whom PostgreSQL runs as, cannot enter %s: choose another directory than %s", up, dir)
		}
		if err := os.Chmod(up, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}
