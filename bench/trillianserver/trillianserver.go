// Package trillianserver runs Trillian's own programs, the log server and the
// log signer, over a PostgreSQL database, for tests, demonstrations and
// rehearsals of failures. It builds them from Trillian's module and applies the
// schema that is in the module.
//
// On a database that PostgreSQL has not analysed yet the signer's passes take
// seconds: its plans are made for empty tables. Start analyses after it has
// applied the schema; whoever appends calls Analyze again after the first
// batches, or has autovacuum do it soon (autovacuum_naptime).
package trillianserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
)

// startTime is how long a program may take until it listens.
const startTime = 30 * time.Second

// Config says how Trillian runs.
type Config struct {
	// Bin is the directory with the programs, as Build returns it.
	Bin string
	// DatabaseURL is the PostgreSQL database that holds the log. Trillian's
	// tables are made if there are none.
	DatabaseURL string
	// MaxConns is how many database connections each program opens at most.
	// Zero means 16.
	MaxConns int
	// SignerInterval is how often the signer looks for new leaves. Zero means
	// 10 ms.
	SignerInterval time.Duration
	// BatchSize is how many leaves the signer integrates in one pass. Zero
	// means 2048.
	BatchSize int
	// Stderr gets what both programs say. It may be nil: errors name the end
	// of it all the same.
	Stderr io.Writer
}

// Servers is a log server and a log signer.
type Servers struct {
	cfg            Config
	server, signer *program
}

// Start applies the schema where it is missing, starts both programs and returns
// when both listen, on ports of 127.0.0.1 that were free. They die with this
// process where the system can arrange that (Linux).
func Start(ctx context.Context, cfg Config) (*Servers, error) {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16
	}
	if cfg.SignerInterval == 0 {
		cfg.SignerInterval = 10 * time.Millisecond
	}
	if cfg.BatchSize == 0 {
		cfg.BatchSize = 2048
	}
	database, err := withMaxConns(cfg.DatabaseURL, cfg.MaxConns)
	if err != nil {
		return nil, err
	}
	if err := applySchema(ctx, cfg.DatabaseURL); err != nil {
		return nil, err
	}
	common := []string{"--logtostderr", "--http_endpoint=", "--storage_system=postgresql", "--quota_system=noop", "--postgresql_uri=" + database}
	s := &Servers{
		cfg:    cfg,
		server: &program{cfg: cfg, name: "trillian_log_server", args: common},
		signer: &program{cfg: cfg, name: "trillian_log_signer", args: append([]string{
			"--force_master", "--pre_election_pause=10ms", "--num_sequencers=2",
			"--sequencer_interval=" + cfg.SignerInterval.String(),
			"--batch_size=" + strconv.Itoa(cfg.BatchSize),
		}, common...)},
	}
	if err := errors.Join(s.server.start(ctx), s.signer.start(ctx)); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// withMaxConns adds the parameter that pgx, and no other client, understands.
func withMaxConns(database string, n int) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("database URL: %w", err)
	}
	query := u.Query()
	query.Set("pool_max_conns", strconv.Itoa(n))
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// planned keeps PostgreSQL from reading all leaves to look for a few: the temporary
// tables that Trillian joins them with have no statistics, and plans made while there
// are few leaves are kept. A scan that there is no way around then counts as so dear
// that it would be compiled first, which takes far longer than the scan.
const planned = `DO $$ BEGIN
	EXECUTE format('ALTER DATABASE %I SET enable_hashjoin = off', current_database());
	EXECUTE format('ALTER DATABASE %I SET enable_mergejoin = off', current_database());
	EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database());
	EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
END $$`

func applySchema(ctx context.Context, database string) error {
	there, err := postgresserver.Exec(ctx, database, "SELECT to_regclass('trees') IS NOT NULL")
	if err != nil {
		return err
	}
	if there == "t" {
		return nil
	}
	schema, err := Schema(ctx, "postgresql")
	if err != nil {
		return err
	}
	if _, err := postgresserver.Exec(ctx, database, schema); err != nil {
		return fmt.Errorf("apply Trillian's schema: %w", err)
	}
	if _, err := postgresserver.Exec(ctx, database, planned); err != nil {
		return fmt.Errorf("settings of Trillian's database: %w", err)
	}
	return Analyze(ctx, database)
}

// Analyze has PostgreSQL analyse the tables of a Trillian database.
func Analyze(ctx context.Context, database string) error {
	_, err := postgresserver.Exec(ctx, database, "ANALYZE")
	return err
}

// Analyze has PostgreSQL analyse the tables: call it after the first batches.
func (s *Servers) Analyze(ctx context.Context) error { return Analyze(ctx, s.cfg.DatabaseURL) }

// Target is the log server's address, host:port. It stays the same through
// restarts.
func (s *Servers) Target() string { return s.server.address() }

// KillServer ends the log server with SIGKILL.
func (s *Servers) KillServer() { s.server.kill() }

// RestartServer starts the log server after KillServer.
func (s *Servers) RestartServer(ctx context.Context) error { return s.server.start(ctx) }

// PauseServer stops the log server with SIGSTOP: it keeps its connections and
// says nothing.
func (s *Servers) PauseServer() error { return s.server.signal(syscall.SIGSTOP) }

// ResumeServer ends PauseServer.
func (s *Servers) ResumeServer() error { return s.server.signal(syscall.SIGCONT) }

// KillSigner ends the signer with SIGKILL.
func (s *Servers) KillSigner() { s.signer.kill() }

// RestartSigner starts the signer after KillSigner.
func (s *Servers) RestartSigner(ctx context.Context) error { return s.signer.start(ctx) }

// PauseSigner stops the signer with SIGSTOP: nothing is integrated any more.
func (s *Servers) PauseSigner() error { return s.signer.signal(syscall.SIGSTOP) }

// ResumeSigner ends PauseSigner.
func (s *Servers) ResumeSigner() error { return s.signer.signal(syscall.SIGCONT) }

// Stop ends both programs, with SIGKILL: all they have is in the database, and
// asked politely they only wait for seconds.
func (s *Servers) Stop() {
	s.signer.kill()
	s.server.kill()
}

// program is one of Trillian's programs.
type program struct {
	cfg  Config
	name string
	args []string

	mu   sync.Mutex
	port int // chosen at the first start
	cmd  *exec.Cmd
	said *tail
	done chan struct{} // closed when cmd has ended
}

func (p *program) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (p *program) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// start starts the program and waits until it listens.
func (p *program) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s runs already", p.name)
	}
	if p.port == 0 {
		var err error
		if p.port, err = postgresserver.FreePort(); err != nil {
			return err
		}
	}
	said := &tail{next: p.cfg.Stderr}
	cmd := exec.Command(filepath.Join(p.cfg.Bin, p.name), append(p.args, "--rpc_endpoint="+p.address())...)
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = process.ChildAttr(), said, said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in what it said
	}()
	p.cmd, p.said, p.done = cmd, said, done
	if err := p.waitListening(ctx); err != nil {
		_ = cmd.Process.Kill() // fails only when it has ended
		<-done
		return fmt.Errorf("start %s: %w: %s", p.name, err, said)
	}
	return nil
}

func (p *program) waitListening(ctx context.Context) error {
	deadline := time.Now().Add(startTime)
	for {
		conn, err := net.DialTimeout("tcp", p.address(), time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not listen after %v", startTime)
		}
		select {
		case <-p.done:
			return errors.New("it ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *program) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("%s is not running", p.name)
	}
	return p.cmd.Process.Signal(s)
}

func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = p.cmd.Process.Kill() // fails only when it has ended
		<-p.done
	}
}

// tail keeps the end of what a program says and passes all of it on.
type tail struct {
	next io.Writer

	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 4000
	t.text = append(t.text, b...)
	if len(t.text) > 2*most {
		t.text = append(t.text[:0], t.text[len(t.text)-most:]...)
	}
	if t.next == nil {
		return len(b), nil
	}
	return t.next.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
