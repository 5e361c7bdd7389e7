package rekorserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/bench/process"
)

// mariadb is a MariaDB server that listens on a Unix socket alone, and lets the system's user
// who started it in as its root.
type mariadb struct {
	dir string
	p   *process.Process
}

// database holds Trillian's tables and Rekor's index.
const database = "rekor"

// tmpdir is for temporary tables: MariaDB removes those of others where it starts.
func (m *mariadb) tmpdir() string { return filepath.Join(m.dir, "tmp") }

func (m *mariadb) socket() string { return filepath.Join(m.dir, "s") }

// dsn is the database as Go's driver for MySQL reads it.
func (m *mariadb) dsn() string {
	return "root@unix(" + m.socket() + ")/" + database + "?parseTime=true&interpolateParams=true"
}

// mariadbProgram finds one of MariaDB's programs: Debian has servers outside of most users' PATH.
func mariadbProgram(name string) (string, error) {
	for _, name := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w (Debian's package is mariadb-server-core)", name, errMissing)
}

// server returns a command that runs MariaDB on the directory. It is root only if we are.
func (m *mariadb) server(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := mariadbProgram("mariadbd")
	if err != nil {
		return nil, err
	}
	own := []string{"--no-defaults", "--datadir=" + filepath.Join(m.dir, "data"), "--tmpdir=" + m.tmpdir(), "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=16M",
		"--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", "--skip-networking", "--socket=" + m.socket()}
	if os.Geteuid() == 0 {
		own = append(own, "--user=root") // which MariaDB wants to be told
	}
	return exec.CommandContext(ctx, path, append(own, args...)...), nil
}

// startMariaDB makes a data directory with a database that has a schema, and starts a server.
func startMariaDB(ctx context.Context, dir, schema string) (*mariadb, error) {
	m := &mariadb{dir: dir}
	if err := os.MkdirAll(m.tmpdir(), 0o700); err != nil {
		return nil, err
	}
	install, err := mariadbProgram("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	args := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
		"--tmpdir=" + m.tmpdir(), "--innodb-log-file-size=16M"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	if _, err := process.Output(ctx, install, args...); err != nil {
		return nil, fmt.Errorf("make MariaDB's data directory: %w", err)
	}
	bootstrap, err := m.server(ctx, "--bootstrap")
	if err != nil {
		return nil, err
	}
	bootstrap.Stdin = strings.NewReader("CREATE DATABASE " + database + ";\nUSE " + database + ";\n" + schema + "\n")
	if r, err := process.Run(bootstrap); err != nil || r.Code != 0 {
		return nil, fmt.Errorf("make MariaDB's tables: exit %d, %v: %s", r.Code, err, r.Stderr)
	}
	serve, err := m.server(context.Background()) // until it is killed
	if err != nil {
		return nil, err
	}
	if m.p, err = process.Launch(serve, nil); err != nil {
		return nil, err
	}
	err = process.Eventually(ctx, "MariaDB's socket is there", process.Patience, func() bool {
		_, err := os.Stat(m.socket())
		return err == nil || !m.p.Alive()
	})
	if err != nil || !m.p.Alive() {
		m.kill()
		return nil, fmt.Errorf("start MariaDB: %v: %s", err, m.p.Said)
	}
	return m, nil
}

func (m *mariadb) kill() {
	if m != nil && m.p != nil {
		m.p.Kill()
	}
}
