package main

import (
	"context"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/trillianserver"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/witness/client"
)

// deploy is where the samples are.
const deploy = "../../deploy/"

// deployedUnits are the units of deploy, by path.
func deployedUnits(t *testing.T) map[string]string {
	t.Helper()
	units := map[string]string{}
	for _, pattern := range []string{"*.service", "trillian/*.service"} {
		paths, err := filepath.Glob(deploy + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			units[path] = string(b)
		}
	}
	if len(units) != 9 {
		t.Fatalf("%d units in %s", len(units), deploy)
	}
	return units
}

// The rules for alerts name metrics that there are.
func TestAlertRules(t *testing.T) {
	b, err := os.ReadFile(deploy + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	m.Watch(func(context.Context) httpd.Stats { return httpd.Stats{} }, func() []client.Health { return []client.Health{{Name: "w"}} })
	m.WatchFrontEnd(func() metrics.FrontEnd { return metrics.FrontEnd{} }, cluster.YieldReasons()...)
	m.WatchAudited(func() audited.Health { return audited.Health{Auditors: []audited.Auditor{{Name: "a"}}} })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	named := regexp.MustCompile(`tuflog_log_\w+`).FindAllString(string(b), -1)
	if len(named) < 9 {
		t.Fatalf("the rules name %q", named)
	}
	for _, name := range named {
		if !strings.Contains(w.Body.String(), "# TYPE "+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// deployedPrograms is the directory of a program that the samples start.
func deployedPrograms(t *testing.T, name string) string {
	t.Helper()
	if !strings.HasPrefix(name, "trillian") {
		return runtest.Programs(t, name)
	}
	bin, err := trillianserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// helped is the program in /usr/local/bin that begins a command line, its command if it
// has any, and its flags.
var (
	helped   = regexp.MustCompile(`/usr/local/bin/(\w+)((?: [a-z]\w*)*)((?s).*)`)
	longFlag = regexp.MustCompile(`(?m)(?:^|[\s"])--([a-z][a-z_-]*)`)
)

// checkCommand holds the flags of a command line against those of the program.
func checkCommand(t *testing.T, where, line string) {
	t.Helper()
	m := helped.FindStringSubmatch(line)
	if m == nil {
		t.Errorf("%s: no program in %q", where, line)
		return
	}
	help := exec.CommandContext(t.Context(), filepath.Join(deployedPrograms(t, m[1]), m[1]), append(strings.Fields(m[2]), "--help")...)
	// Trillian's programs exit 2 after having helped.
	text, _ := help.CombinedOutput()
	known := regexp.MustCompile(`(?m)^\s+--?([a-z][a-z_-]*)`)
	var flags []string
	for _, f := range known.FindAllStringSubmatch(string(text), -1) {
		flags = append(flags, f[1])
	}
	if len(flags) < 3 {
		t.Errorf("%s: %s%s --help: %s", where, m[1], m[2], text)
	}
	for _, f := range longFlag.FindAllStringSubmatch(m[3], -1) {
		if !slices.Contains(flags, f[1]) {
			t.Errorf("%s: %s%s has no flag %s", where, m[1], m[2], f[1])
		}
	}
}

// The programs that the samples in deploy start exist, with the flags that are given.
func TestDeployedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Trillian")
	}
	for path, text := range deployedUnits(t) {
		m := regexp.MustCompile(`(?m)^ExecStart=((?:.*\\\n)*.*)`).FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%s starts nothing", path)
			continue
		}
		checkCommand(t, path, strings.ReplaceAll(m[1], "\\\n", " "))
	}
	compose, err := os.ReadFile(deploy + "trillian/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	services := regexp.MustCompile(`(?m)^  ([a-z0-9-]+):.*\n(?:(?:   .*|\s*#.*)?\n)*`).FindAllString(string(compose), -1)
	checked := 0
	for _, service := range services {
		list := regexp.MustCompile(`(?m)^      - .*\n`).FindAllString(service, -1)
		if len(list) == 0 {
			continue // an image's own command
		}
		line := strings.ReplaceAll(strings.ReplaceAll(strings.Join(list, ""), "      - ", " "), "\n", "")
		if !strings.HasPrefix(line, " /") {
			line = "/usr/local/bin/logserver" + line // the image's entry point
		}
		name, _, _ := strings.Cut(strings.TrimSpace(service), ":")
		checkCommand(t, "compose.yaml: "+name, line)
		checked++
	}
	if checked != 5 {
		t.Errorf("%d commands in compose.yaml", checked)
	}
}

// The units read files that are in the settings, and allow writing where the settings
// need it.
func TestDeployedSettings(t *testing.T) {
	units := deployedUnits(t)
	env, err := os.ReadFile(deploy + "trillian/trillian.env")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{"PGPASSFILE": false} // Trillian reads that by itself
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=.+$`).FindAllStringSubmatch(string(env), -1) {
		given[m[1]] = true
	}
	used := map[string]bool{"PGPASSFILE": true}
	for path, text := range units {
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(text, -1) {
			if m[1] == "MAINPID" { // systemd's own
				continue
			}
			used[m[1]] = true
			if !given[m[1]] {
				t.Errorf("%s: trillian.env does not set %s", path, m[1])
			}
		}
	}
	if !maps.Equal(given, used) {
		t.Errorf("trillian.env sets %v, and the units use %v", given, used)
	}
	for unit, conf := range map[string]string{
		"tuflog-logserver.service":           "logserver.conf",
		"trillian/tuflog-logserver@.service": "trillian/logserver-1.conf",
	} {
		text := units[deploy+unit]
		written := regexp.MustCompile(`(?m)^ReadWritePaths=(.+)$`).FindStringSubmatch(text)
		if written == nil {
			t.Errorf("%s lets nothing be written", unit)
			continue
		}
		cmd := newServe()
		if err := cmd.ParseFlags([]string{"--config", deploy + conf}); err != nil {
			t.Fatal(err)
		}
		if err := cmd.PreRunE(cmd, nil); err != nil {
			t.Errorf("%s: %v", conf, err)
		}
		for _, flag := range []string{"dir", "ledger"} {
			if dir := cmd.Flag(flag).Value.String(); dir != "" && dir != written[1] && !strings.HasPrefix(dir, written[1]+"/") {
				t.Errorf("%s: %s is %s, and %s lets only %s be written", conf, flag, dir, unit, written[1])
			}
		}
	}
}

// systemd has nothing to say on the units, and finds them closed enough.
func TestDeployedUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("the units are held against systemd-analyze, of Debian's package systemd, which is not here: ", err)
	}
	dir := t.TempDir()
	var paths []string
	for path, text := range deployedUnits(t) {
		// It asks for programs that are there.
		text = regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllLiteralString(text, "ExecStart=/bin/true")
		path = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	timers, err := filepath.Glob(deploy + "*.timer")
	if err != nil || len(timers) != 2 {
		t.Fatalf("timers %v, %v", timers, err)
	}
	verify := append([]string{"verify"}, paths...)
	for _, timer := range timers {
		text, err := os.ReadFile(timer)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Base(timer))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, path)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", verify...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	for _, path := range paths {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=20", path).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
	}
}
