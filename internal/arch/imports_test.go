// Package arch holds the project to its architecture: which package may import
// which. docs/architecture.md says why.
package arch

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tuflog/tuflog"

// rooms says, for each folder, which of the project's folders its packages may
// import. A folder stands for everything below it, unless a longer one is
// listed. Whatever is not listed here fails the test: a new room needs a door.
var rooms = map[string][]string{
	"proofs":          {"proofs/internal"},
	"proofs/fraud":    {"proofs/.", "proofs/internal"},
	"tuf":             {},
	"tuf/pigweed":     {"tuf/."},
	"tuf/codec":       {"tuf/.", "tuf/pigweed"},
	"leaf":            {"tuf", "proofs/."},
	"pack":            {"leaf", "tuf", "proofs/."},
	"admit":           {"leaf", "tuf"},
	"explain":         {"leaf", "tuf"},
	"expect":          {"leaf", "tuf", "proofs/."},
	"verify":          {"leaf", "tuf", "proofs/."},
	"verify/gotuf":    {"verify", "tuf"},
	"verify/pigweed":  {"verify/.", "tuf", "proofs/."},
	"witness/bastion": {},
	"witness/budget":  {"internal/durable"},
	"witness/client":  {"witness/budget", "proofs/.", "internal/fetch", "internal/printable"},
	"witness":         {"witness", "proofs", "internal"},
	"log/api":         {"admit", "leaf", "tuf", "proofs/.", "internal/fetch", "internal/printable", "internal/wait"},
	"log":             {"log/api", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"log/logdir":      {"log/.", "leaf", "tuf", "proofs/.", "internal"},
	"log/index":       {"log/.", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"log/publisher":   {"log/.", "leaf", "tuf", "proofs/.", "internal"},
	"log/registry":    {"log/.", "log/api", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"log/quota":       {"log/.", "tuf", "internal"},
	"log/audited":     {"log/.", "log/publisher", "witness/client", "proofs/.", "internal"},
	"log/intake":      {"log/.", "log/api", "log/index", "log/publisher", "log/quota", "log/registry", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"log/packstore":   {"log/.", "pack", "tuf", "proofs/.", "internal"},
	"log/httpd":       {"log/.", "log/api", "log/audited", "log/index", "log/intake", "log/packstore", "log/publisher", "log/quota", "log/registry", "admit", "pack", "leaf", "tuf", "proofs/.", "internal"},
	"log/leader":      {"log/.", "log/api", "log/httpd", "log/index", "log/intake", "log/publisher", "log/quota", "log/registry", "pack", "leaf", "tuf", "proofs/.", "internal"},
	"log/follower":    {"log/.", "log/api", "log/httpd", "log/index", "log/intake", "log/publisher", "log/quota", "log/registry", "pack", "leaf", "tuf", "proofs/.", "internal"},
	"log/cluster":     {"log/.", "log/api", "log/follower", "log/httpd", "log/leader", "log/publisher", "log/quota", "proofs/.", "internal"},
	"log/maintain":    {"log/.", "log/index", "log/logdir", "log/publisher", "admit", "pack", "leaf", "tuf", "proofs/.", "internal"},
	"log/dirlog":      {"log/.", "log/leader", "log/logdir", "log/maintain", "log/sqlite", "log/tesseralog", "proofs/.", "internal"},
	"log/serverlog":   {"log/.", "log/cluster", "log/follower", "log/leader", "log/maintain", "log/metrics", "log/postgres", "log/publisher", "log/trillianlog", "proofs/.", "internal"},
	"log/logtest":     {"log/.", "log/logdir", "log/publisher", "log/storagetest", "proofs/."},
	"log/metrics":     {"log/.", "log/api", "log/audited", "log/httpd", "witness/client", "proofs/.", "internal"},
	"log/statetest":   {"log/.", "log/api", "admit", "leaf", "tuf", "proofs/."},
	"log/storagetest": {"log/.", "proofs/."},
	"log/targetrows":  {"log/.", "tuf"},
	"log/sqlite":      {"log/.", "log/api", "log/targetrows", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"log/postgres":    {"log/.", "log/api", "log/maintain", "log/logdir", "log/targetrows", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"log/tesseralog":  {"log/.", "proofs/.", "internal"},
	"log/trillianlog": {"log/.", "proofs/.", "internal"},
	"audit":           {"audit", "explain", "expect", "admit", "pack", "leaf", "tuf", "proofs", "internal"},
	"audit/alert":     {"audit/.", "audit/state", "tuf", "internal"},
	"audit/anchor":    {"proofs/."},
	"audit/anchored":  {"audit/.", "audit/anchor", "audit/rekor", "audit/state", "proofs/.", "internal/durable", "internal/fetch", "internal/lockfile", "internal/regular", "internal/wait"},
	"audit/evidence":  {"admit", "leaf", "tuf", "proofs"},
	"audit/page":      {"audit/.", "audit/history", "audit/lookup", "audit/state", "explain", "admit", "leaf", "tuf", "proofs/.", "internal/build", "internal/printable", "internal/rates", "internal/regular", "internal/room", "internal/wait"},
	"audit/page/drop": {"device/bundle/index", "verify", "leaf", "tuf", "proofs/."},
	"audit/page/wasm": {"audit/page/drop"}, "audit/page/generate": {},
	"audit/cosign":   {"audit/.", "audit/mirror", "witness", "proofs/.", "internal"},
	"audit/compare":  {"audit/evidence", "audit/history", "admit", "verify", "leaf", "tuf", "proofs/."},
	"audit/expected": {"audit/.", "audit/state", "expect", "leaf", "tuf", "proofs/.", "internal/durable", "internal/fetch", "internal/regular", "internal/wait"},
	"audit/gossip":   {"audit/evidence", "proofs"},
	"audit/state":    {"leaf", "tuf", "proofs/.", "internal/durable", "internal/lockfile", "internal/regular", "internal/sqlitefile", "internal/wait"},
	"audit/rekor":    {"proofs/.", "internal/fetch", "internal/printable"},
	"audit/source":   {"audit/.", "pack", "tuf", "proofs/.", "internal/fetch", "internal/regular", "internal/wait"},
	"audit/export":   {"audit/state", "leaf", "tuf", "proofs/.", "internal/durable", "internal/sqlitefile"},
	"audit/mirror":   {"audit/.", "pack", "tuf", "proofs", "internal/durable", "internal/lockfile", "internal/regular", "internal/room"},
	"audit/monitor":  {"audit", "expect", "device", "verify", "witness/client", "admit", "leaf", "tuf", "proofs", "internal"},
	"publish":        {"log/api", "admit", "verify", "leaf", "tuf", "proofs/.", "internal"},
	"device":         {"verify", "leaf", "tuf", "proofs/.", "internal/durable", "internal/fetch", "internal/lockfile", "internal/regular"},
	"device/bundle":  {"device/.", "verify", "tuf", "proofs/.", "internal/regular"},
	// A gate is a device with a signing key: no log, no auditor, no second opinion.
	"gate":        {"gate/client", "device/.", "verify", "tuf", "proofs/.", "internal"},
	"gate/client": {"verify", "tuf", "proofs/.", "internal/fetch", "internal/printable", "internal/regular", "internal/wait"},
	// The verifier in C: its policies, and the Go code that it is held against.
	"embedded":         {"embedded", "verify", "leaf", "tuf", "proofs/."},
	"embedded/compile": {"proofs/."},
	"internal":         {"internal"},
	"internal/labels":  {"tuf"},
	// The proving ground rehearses, injures, loads and serves tests. Tests of the product
	// may import it; of what is built, the demonstration alone does.
	"bench":             {"bench", "audit", "log", "witness/client", "witness/budget", "admit", "pack", "device", "verify", "leaf", "tuf", "proofs", "internal"},
	"bench/count":       {"internal/printable"},
	"bench/process":     {},
	"bench/runtest":     {"bench/process", "bench/testbed", "internal/lockfile", "proofs/."},
	"bench/testbed":     {},
	"bench/testlog":     {"proofs/."},
	"bench/testpigweed": {},
	"bench/testvendor":  {"tuf", "proofs/."},
	"cmd/auditor":       {"cmd/auditor", "audit", "gate", "witness", "device", "explain", "log/api", "verify", "leaf", "tuf", "proofs", "internal"},
	"cmd/demo":          {"cmd/demo", "gate/client", "bench/process", "bench/postgresserver", "bench/testbed", "bench/testpigweed", "bench/testvendor", "bench/trillianserver", "log/api", "publish", "verify", "leaf", "tuf", "proofs/.", "internal"},
	"cmd/logserver":     {"cmd/logserver", "log/.", "log/api", "log/audited", "log/cluster", "log/dirlog", "log/follower", "log/httpd", "log/leader", "log/logdir", "log/maintain", "log/metrics", "log/packstore", "log/publisher", "log/quota", "log/serverlog", "witness/client", "witness/budget", "admit", "leaf", "tuf", "proofs/.", "internal"},
	"cmd/publisher":     {"cmd/publisher", "gate/client", "expect", "publish", "log/api", "verify", "leaf", "tuf", "proofs/.", "internal"},
	"cmd/updater":       {"cmd/updater", "embedded/compile", "device", "explain", "verify", "tuf", "proofs/.", "internal"},
	"cmd/witness":       {"cmd/witness", "witness", "proofs", "internal"},
	"internal/cli":      {"internal/build", "internal/fetch", "internal/lockfile", "internal/printable", "internal/regular", "proofs"},
	"internal/arch":     {},
}

// Packages that only some folders may name: foreign ones, and what programs share.
var fenced = map[string][]string{
	"github.com/spf13/cobra":               {"cmd", "internal/cli", "bench/logload"},
	module + "/internal/cli":               {"cmd", "bench/logload"},
	"github.com/transparency-dev/tessera":  {"log/tesseralog", "bench/baretessera"},
	"github.com/google/trillian":           {"log/trillianlog"},
	"github.com/jackc/pgx":                 {"log/postgres"},
	"github.com/sigstore/rekor":            {"audit/rekor"},
	"github.com/theupdateframework/go-tuf": {"verify/gotuf", "bench/testvendor", "cmd/demo"},
	"github.com/chromedp":                  {"bench/browser"},
	"github.com/andybalholm/brotli":        {"audit/page/generate"},
	"github.com/wneessen/go-mail":          {"audit/alert"},
	"github.com/standard-webhooks":         {"audit/alert"},
	"filippo.io/torchwood":                 {"witness/witnesstest"},
	"modernc.org/sqlite":                   {"internal/sqlitefile"},
	"modernc.org/libc":                     {"internal/sqlitefile"},
}

// What bytes-in-verdict-out code must not name.
var noIO = []string{"net", "net/http", "os", "log", "log/slog", "io/ioutil", "os/exec", "crypto/x509", "crypto/tls", "math/rand", "unsafe", "sync/errgroup", "syscall"}

func TestImportsPointOneWay(t *testing.T) {
	for pkg, imports := range list(t, "./...") {
		if pkg == module {
			continue
		}
		room := longest(t, strings.TrimPrefix(pkg, module+"/"))
		for _, imp := range imports {
			if inner, ok := strings.CutPrefix(imp, module+"/"); ok {
				if under(inner, []string{"bench"}) && !under(room, []string{"bench", "cmd/demo"}) {
					t.Errorf("%s imports %s: outside of bench only tests and cmd/demo may", pkg, imp)
				}
				if !under(inner, append(rooms[room], room)) {
					t.Errorf("%s imports %s: %s may import only %v", pkg, imp, room, rooms[room])
				}
			}
			for foreign, where := range fenced {
				if (imp == foreign || strings.HasPrefix(imp, foreign+"/")) && !under(strings.TrimPrefix(pkg, module+"/"), where) {
					t.Errorf("%s names %s, which only %v may", pkg, imp, where)
				}
			}
		}
	}
}

func TestVerifyingDoesNoIO(t *testing.T) {
	for pkg, imports := range list(t, "./proofs/...", "./tuf/...", "./leaf/...", "./admit/...", "./verify/...", "./explain/...", "./expect/...", "./audit/anchor", "./audit/evidence", "./audit/page/drop", "./pack/...") {
		for _, imp := range imports {
			if slices.Contains(noIO, imp) {
				t.Errorf("%s imports %s", pkg, imp)
			}
		}
	}
	for _, pkg := range []string{"./proofs", "./tuf", "./tuf/pigweed", "./tuf/codec", "./leaf", "./admit", "./verify", "./explain", "./expect", "./pack", "./audit/page/drop"} {
		if slices.Contains(deps(t, pkg), "net") {
			t.Errorf("%s pulls in net", pkg)
		}
	}
	allowed := []string{module + "/proofs", "golang.org/x/mod/", "github.com/transparency-dev/merkle", "filippo.io/mldsa"}
	for _, dep := range deps(t, "./proofs") {
		if strings.Contains(strings.Split(dep, "/")[0], ".") && !slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(dep, p) }) {
			t.Errorf("proofs pulls in %s", dep)
		}
	}
}

func TestProgramsStaySmall(t *testing.T) {
	heavy := []string{"github.com/transparency-dev/tessera", "github.com/google/trillian", "github.com/sigstore/rekor"}
	for pkg, forbidden := range map[string][]string{
		"./cmd/updater":   append(slices.Clone(heavy), "github.com/theupdateframework/go-tuf", "modernc.org/sqlite", module+"/admit", module+"/log", module+"/audit"),
		"./verify":        {module + "/admit"},
		"./device":        {module + "/admit", module + "/log", module + "/audit", "github.com/spf13/cobra"},
		"./cmd/publisher": heavy,
		"./cmd/auditor":   {"github.com/transparency-dev/tessera", "github.com/google/trillian"},
		"./cmd/witness":   append(slices.Clone(heavy), module+"/tuf"),
		"./audit":         {module + "/log"},
		"./gate":          append(slices.Clone(heavy), module+"/log", module+"/audit", module+"/admit", module+"/witness", "github.com/theupdateframework/go-tuf"),
		"./log/cluster":   append(slices.Clone(heavy), "github.com/jackc/pgx", module+"/log/postgres", "modernc.org/sqlite"),
	} {
		for _, dep := range deps(t, pkg) {
			for _, f := range forbidden {
				if dep == f || strings.HasPrefix(dep, f+"/") {
					t.Errorf("%s links %s", pkg, dep)
				}
			}
		}
	}
}

// Who only writes, serves or verifies a log has nothing to do with ledgers of others, whose
// clients pull in hundreds of packages.
func TestOnlyAuditorsLinkRekor(t *testing.T) {
	programs := map[string][]string{
		"./cmd/updater": nil, "./cmd/publisher": nil, "./cmd/witness": nil, "./cmd/logserver": nil,
		"./audit/page/wasm": {"GOOS=js", "GOARCH=wasm"},
	}
	for pkg, env := range programs {
		for _, dep := range deps(t, pkg, env...) {
			if strings.HasPrefix(dep, "github.com/sigstore/") || dep == module+"/audit/rekor" {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
}

// list returns what each package imports in its own, not its tests', files.
func list(t *testing.T, patterns ...string) map[string][]string {
	t.Helper()
	out := goList(t, append([]string{"-f", `{{.ImportPath}} {{join .Imports " "}}`}, patterns...)...)
	pkgs := map[string][]string{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		pkgs[fields[0]] = fields[1:]
	}
	if len(pkgs) == 0 {
		t.Fatalf("go list %v found nothing", patterns)
	}
	return pkgs
}

func deps(t *testing.T, pkg string, env ...string) []string {
	t.Helper()
	return strings.Fields(goListIn(t, env, "-deps", pkg))
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	return goListIn(t, nil, args...)
}

func goListIn(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// longest returns the most exact entry of rooms for a package.
func longest(t *testing.T, pkg string) string {
	t.Helper()
	best := ""
	for room := range rooms {
		if under(pkg, []string{room}) && len(room) > len(best) {
			best = room
		}
	}
	if best == "" {
		t.Errorf("%s is in no room: add it to the table with what it may import", pkg)
	}
	return best
}

// under reports whether a package is in one of the folders. "log/." is the package log
// alone.
func under(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		if only, alone := strings.CutSuffix(f, "/."); alone {
			return pkg == only
		}
		return pkg == f || strings.HasPrefix(pkg, f+"/")
	})
}
