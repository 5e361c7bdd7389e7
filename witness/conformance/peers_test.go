package conformance_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"debug/buildinfo"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver for litewitness's state

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/internal/sshagent"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/conformance"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// These tests run other people's programs, which .ci/peers installs into the
// directory TUFLOG_PEERS. Reports go to TUFLOG_PEERS_REPORTS, if set.

// peer returns the path of another implementation's program.
func peer(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("TUFLOG_PEERS")
	if dir == "" {
		t.Skip("TUFLOG_PEERS is not set: see .ci/peers")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s was not installed: %v", name, err)
	}
	return path
}

func TestMain(m *testing.M) { runtest.Main(m) }

// do runs somebody's program to its end and returns its stdout.
func do(t *testing.T, path string, args ...string) string {
	t.Helper()
	stdout, err := process.Output(t.Context(), path, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

// start starts somebody's server and waits until it accepts connections.
func start(t *testing.T, addr string, path string, args ...string) {
	t.Helper()
	p, err := process.Launch(exec.Command(path, args...), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said last:\n%s", filepath.Base(path), p.Said)
		}
	})
	if err := p.Answers(t.Context(), addr); err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
}

// freeAddr returns an address that nobody listens on, for programs that cannot pick
// one themselves.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a witness that cosigns one log.
type running struct {
	url  string
	key  proofs.Key
	more []proofs.Key // with which it cosigns as well
}

// policy returns a policy's lines for the witness, all of whose keys are wanted.
func (r running) policy(name string) string {
	lines, names := "", ""
	for i, key := range append([]proofs.Key{r.key}, r.more...) {
		lines += fmt.Sprintf("witness %s/%d %s %s\n", name, i, key, r.url)
		names += fmt.Sprintf(" %s/%d", name, i)
	}
	return lines + "group " + name + " all" + names + "\n"
}

// starters start each witness for a log.
var starters = []struct {
	name  string
	start func(t *testing.T, logs ...proofs.Key) running
}{
	{"tuflog", startOurs},
	{"litewitness", startLitewitness},
	{"omniwitness", startOmniwitness},
}

func startOurs(t *testing.T, logs ...proofs.Key) running {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "w")
	key, err := proofs.ParseKey(runtest.Must(t, "witness", "init", "--dir", dir, "--name", "tuflog.example/w", "--only", "ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		runtest.Must(t, "witness", "log", "add", "--dir", dir, log.String())
	}
	return running{url: runtest.Serve(t, "witness", "serve", "--dir", dir).URL, key: key}
}

func startLitewitness(t *testing.T, logs ...proofs.Key) running {
	t.Helper()
	program := peer(t, "litewitness")
	dir := t.TempDir()
	db, sock, keyFile := filepath.Join(dir, "lite.db"), startAgent(t), filepath.Join(dir, "key")
	do(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "litewitness", "-f", keyFile)
	add := exec.Command("ssh-add", "-q", keyFile)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+sock)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	listed, err := sshagent.Agent{Socket: sock, Timeout: time.Minute}.Keys()
	if err != nil || len(listed) != 1 {
		t.Fatalf("keys in the agent: %v, %v", listed, err)
	}
	signer, err := proofs.NewSigner("litewitness.example", proofs.CosignatureV1, listed[0])
	if err != nil {
		t.Fatal(err)
	}
	key := signer.Key()
	addr := freeAddr(t)
	start(t, addr, program, "-name", key.Name(), "-db", db, "-ssh-agent", sock, "-key", listed[0].Fingerprint, "-listen", addr)
	for _, log := range logs {
		addToLitewitness(t, db, log)
	}
	return running{url: "http://" + addr, key: key}
}

// addToLitewitness does what its witnessctl does with add-log and add-key. Not
// every module proxy has what that program needs.
func addToLitewitness(t *testing.T, path string, log proofs.Key) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	empty := proofs.EmptyTree.Hash.String()
	if _, err := db.ExecContext(t.Context(), "INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", log.Name(), empty); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO key (origin, key) VALUES (?, ?)", log.Name(), log.String()); err != nil {
		t.Fatal(err)
	}
}

// startAgent starts an ssh-agent and returns its socket, whose path must be
// short.
func startAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock := filepath.Join(dir, "s")
	path, err := exec.LookPath("ssh-agent")
	if err != nil {
		t.Skipf("litewitness needs an ssh-agent: %v", err)
	}
	agent := exec.Command(path, "-D", "-a", sock)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	runtest.Eventually(t, "the ssh-agent answers", func() bool {
		_, err := sshagent.Agent{Socket: sock, Timeout: time.Minute}.Keys()
		return err == nil
	})
	return sock
}

func startOmniwitness(t *testing.T, logs ...proofs.Key) running {
	t.Helper()
	program := peer(t, "omniwitness")
	dir := t.TempDir()
	// It wants its key in the form of an Ed25519 note key, and cosigns with
	// another key ID.
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		t.Fatal(err)
	}
	signer := func(alg proofs.Algorithm) *proofs.Signer {
		s, err := proofs.GenerateSigner(bytes.NewReader(seed), "omniwitness.example", alg)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	keyFile := write(t, filepath.Join(dir, "key"), signer(proofs.Ed25519).PrivateKey())
	list := "Logs:\n"
	for _, log := range logs {
		list += fmt.Sprintf("  - Origin: %s\n    URL: http://127.0.0.1:1/\n    PublicKey: %s\n    Feeder: none\n", log.Name(), log)
	}
	addr := freeAddr(t)
	second := witnesstest.NewSigner(t, "omniwitness.example", proofs.MLDSA44)
	secondFile := write(t, filepath.Join(dir, "key2"), second.PrivateKey())
	start(t, addr, program, "-private_key_path", keyFile, "-private_key_path", secondFile, "-additional_logs", write(t, filepath.Join(dir, "logs.yaml"), list), "-db_file", filepath.Join(dir, "omni.db"), "-listen", addr, "-metrics_listen", "")
	return running{url: "http://" + addr, key: signer(proofs.CosignatureV1).Key(), more: []proofs.Key{second.Key()}}
}

// TestPeerConformance runs the suite against the witnesses of others. What they
// fail is theirs to judge: the run must get to its end and find them working.
func TestPeerConformance(t *testing.T) {
	for _, s := range starters {
		for _, spec := range []conformance.Spec{conformance.Main, conformance.V1} {
			t.Run(s.name+" "+string(spec), func(t *testing.T) {
				peer(t, ".") // ours is skipped with the others
				log, first := newLogs(t)
				known := []proofs.Key{log.Key()}
				for _, l := range first {
					known = append(known, l.Key())
				}
				w := s.start(t, known...)
				r := run(t, conformance.Config{URL: w.url, Keys: append([]proofs.Key{w.key}, w.more...), Log: log, First: first, Spec: spec})
				t.Log(r.Summary())
				for _, res := range r.Results {
					if s.name == "tuflog" && spec == conformance.Main && res.Outcome != conformance.Pass {
						t.Error(res)
					}
				}
				if last := r.Results[len(r.Results)-1]; last.Outcome == conformance.Skip {
					t.Errorf("the run lost track: %v", last)
				}
				report(t, s.name, r)
			})
		}
	}
}

// report writes what came of a witness, which it names with its version, where
// TUFLOG_PEERS_REPORTS says.
func report(t *testing.T, name string, r *conformance.Report) {
	t.Helper()
	dir := os.Getenv("TUFLOG_PEERS_REPORTS")
	if dir == "" {
		return
	}
	version := name + " of this repository"
	if name != "tuflog" {
		info, err := buildinfo.ReadFile(peer(t, name))
		if err != nil {
			t.Fatal(err)
		}
		version = fmt.Sprintf("%s, %s %s", name, info.Main.Path, info.Main.Version)
	}
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "**%s**: %s.\n\n", version, r.Summary())
	if err := r.MarkdownResults(&buf); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+"-"+string(r.Spec)+".md"), buf.String())
}

// TestPeerWitnesses: our log publishes with other people's witnesses in the
// policy, all of which must cosign.
func TestPeerWitnesses(t *testing.T) {
	peer(t, ".")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	vkey, _, _ := strings.Cut(runtest.Must(t, "logserver", "init", "--dir", path("log"), "--origin", "test.example/log"), "\n")
	log, err := proofs.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	policy, names := "log "+vkey+"\n", ""
	for _, s := range starters {
		// Whether it is there is a test of its own, which may be skipped.
		t.Run(s.name, func(sub *testing.T) {
			if s.name != "tuflog" {
				peer(sub, s.name)
			}
			names += " " + s.name
		})
	}
	for _, s := range starters {
		if strings.Contains(names, s.name) {
			policy += s.start(t, log).policy(s.name)
		}
	}
	if names == " tuflog" {
		t.Skip("no other witness was installed")
	}
	write(t, path("policy"), policy+"group all all"+names+"\nquorum all\n")
	url := runtest.Serve(t, "logserver", "serve", "--dir", path("log"), "--policy", path("policy")).URL

	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	submit := func() {
		t.Helper()
		for name, data := range v.Files() {
			write(t, filepath.Join(path("metadata"), name), string(data))
		}
		runtest.Must(t, "publisher", "submit", "--log", url, "--policy", path("policy"), "--token-file", path("log/registration.token"), "--token-out", path("vendor.token"), path("metadata"))
		// The publisher has checked the proofs against the policy; look at one
		// all the same.
		name, _ := v.File("targets")
		checkProof(t, filepath.Join(path("metadata"), name+verify.SidecarSuffix), policy+"group all all"+names+"\nquorum all\n")
	}
	if err := os.Mkdir(path("metadata"), 0o755); err != nil {
		t.Fatal(err)
	}
	submit()
	for i := range 3 {
		target := fmt.Sprintf("target-%d", i)
		if err := v.Put("targets", target, []byte(target)); err != nil {
			t.Fatal(err)
		}
		if err := v.Release("targets"); err != nil {
			t.Fatal(err)
		}
		submit()
	}
}

func checkProof(t *testing.T, path, policy string) {
	t.Helper()
	p, err := proofs.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := proofs.ParseProof(b)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := p.OpenCheckpoint(proof.Checkpoint)
	if err != nil || len(cp.Cosignatures) != len(p.Witnesses) {
		t.Fatalf("%s: %d cosignatures by %d keys, %v", path, len(cp.Cosignatures), len(p.Witnesses), err)
	}
}

// TestPeerLog: a log made by another implementation is cosigned by our witness,
// once as it asks for it itself, once as we bring what it published.
func TestPeerLog(t *testing.T) {
	program := peer(t, "posix-oneshot")
	dir := t.TempDir()
	signer := witnesstest.NewSigner(t, "posix.example/log", proofs.Ed25519)
	keyFile := write(t, filepath.Join(dir, "key"), signer.PrivateKey())
	w, brought := startOurs(t, signer.Key()), startOurs(t, signer.Key())
	policy := write(t, filepath.Join(dir, "policy"), w.policy("w")+"quorum w\n")
	logDir, entries := filepath.Join(dir, "log"), filepath.Join(dir, "entries")
	if err := os.Mkdir(entries, 0o755); err != nil {
		t.Fatal(err)
	}
	old := int64(0)
	// Sizes within a tile, at its end, and beyond it.
	for step, n := range []int{3, 60, 193, 300} {
		for i := range n {
			write(t, filepath.Join(entries, fmt.Sprintf("%d-%d", step, i)), fmt.Sprintf("entry %d of step %d", i, step))
		}
		do(t, program, "-storage_dir", logDir, "-entries", filepath.Join(entries, fmt.Sprintf("%d-*", step)), "-private_key", keyFile, "-witness_policy_file", policy)
		cp, note := publishedIn(t, logDir, signer.Key())
		if cp.Tree.N != old+int64(n) {
			t.Fatalf("size %d after %d and %d more", cp.Tree.N, old, n)
		}
		if _, err := note.VerifiedBy(w.key); err != nil {
			t.Fatalf("published at size %d: %v", cp.Tree.N, err)
		}
		bring(t, logDir, brought, signer.Key(), old)
		old = cp.Tree.N
	}
}

// publishedIn reads the checkpoint in the directory of a tlog-tiles log.
func publishedIn(t *testing.T, dir string, log proofs.Key) (proofs.Checkpoint, proofs.Note) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	cp, note, err := proofs.OpenCheckpoint(b, log)
	if err != nil {
		t.Fatal(err)
	}
	return cp, note
}

// bring submits the checkpoint in a directory to a witness, with a proof made
// from the tiles in it.
func bring(t *testing.T, dir string, w running, log proofs.Key, old int64) {
	t.Helper()
	cp, note := publishedIn(t, dir, log)
	proof, err := proofs.ConsistencyProof(t.Context(), old, cp.Tree, dirTiles(dir))
	if err != nil {
		t.Fatal(err)
	}
	c := client.Client{URL: w.url, Key: w.key}
	if _, err := c.AddCheckpoint(t.Context(), client.Request{OldSize: old, Proof: proof, Checkpoint: note.Marshal()}); err != nil {
		t.Fatalf("from size %d to %d: %v", old, cp.Tree.N, err)
	}
}

// dirTiles is the directory of a tlog-tiles log.
type dirTiles string

// ReadTile implements proofs.TileReader.
func (d dirTiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(string(d), filepath.FromSlash(proofs.TileID{Level: level, Index: index, Width: width}.Path())))
	if err != nil && width < 256 {
		if full, fullErr := os.ReadFile(filepath.Join(string(d), filepath.FromSlash(proofs.TileID{Level: level, Index: index, Width: 256}.Path()))); fullErr == nil {
			return full[:width*32], nil
		}
	}
	return b, err
}
