package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/quota"
)

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigFile(t *testing.T) {
	path := write(t, "conf", "# a comment\n\n dir = /log \npolicy=/policy = odd\nopen-registration = true\nquota = 5/50\ntrusted-proxies = 10.0.0.0/8,192.0.2.1\nlog-level = debug\n", 0o600)
	for _, tt := range []struct {
		name string
		args []string
		want map[string]string
	}{
		{"file alone", nil, map[string]string{"dir": "/log", "policy": "/policy = odd", "open-registration": "true", "quota": "5/50", "trusted-proxies": "[10.0.0.0/8,192.0.2.1]", "log-level": "DEBUG", "token-quota": "100/10000"}},
		{"the command line comes first", []string{"--dir", "/other", "--quota", "off", "--log-level", "warn"}, map[string]string{"dir": "/other", "quota": "off", "log-level": "WARN", "policy": "/policy = odd"}},
		{"and with what it excludes", []string{"--closed-registration"}, map[string]string{"open-registration": "false", "closed-registration": "true"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := newServe()
			if err := cmd.ParseFlags(append(tt.args, "--config", path)); err != nil {
				t.Fatal(err)
			}
			if err := cmd.PreRunE(cmd, nil); err != nil {
				t.Fatal(err)
			}
			if err := cmd.ValidateRequiredFlags(); err != nil {
				t.Error(err)
			}
			if err := cmd.ValidateFlagGroups(); err != nil {
				t.Error(err)
			}
			for name, want := range tt.want {
				if got := cmd.Flags().Lookup(name).Value.String(); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
	// Another command takes what it has and leaves the rest.
	cmd := newReindex()
	if err := cmd.ParseFlags([]string{"--config", path}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.PreRunE(cmd, nil); err != nil || cmd.Flags().Lookup("dir").Value.String() != "/log" {
		t.Errorf("reindex: dir is %q, %v", cmd.Flags().Lookup("dir").Value, err)
	}
}

func TestConfigFileMistakes(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"dir = /log\n# x\npolcy = /p\n", `line 3: there is no setting "polcy"`},
		{"dir /log\n", "line 1: \"dir /log\" is not of the form key = value"},
		{"= /log\n", "line 1:"},
		{"dir = /a\ndir = /b\n", "line 2: dir was set in line 1 already"},
		{"dir = \n", "line 1: dir has no value"},
		{"config = x\n", `line 1: there is no setting "config"`},
		{"help = true\n", `line 1: there is no setting "help"`},
		{"Dir = x\n", `line 1: there is no setting "Dir"`},
		{"open-registration = maybe\n", "line 1: "},
		{"quota = 5\n", "line 1: "},
		{"quota = 0/5\n", "line 1: "},
		{"quota = NaN/5\n", "line 1: "},
		{"quota = 1/+Inf\n", "line 1: "},
		{"log-level = loud\n", `line 1: invalid argument "loud" for "--log-level" flag: "loud" is none of debug, info, warn and error`},
		{"listen = 127.0.0.1:7370 # local only\n", `line 1: "127.0.0.1:7370 # local only": comments take whole lines`},
		{"\xef\xbb\xbfdir = /log\n", "begins with a byte order mark"},
	} {
		cmd := newServe()
		path := write(t, "conf", tt.text, 0o600)
		if err := cmd.ParseFlags([]string{"--config", path}); err != nil {
			t.Fatal(err)
		}
		if err := cmd.PreRunE(cmd, nil); err == nil || !strings.Contains(err.Error(), path+": "+tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
	if _, stderr, code := runtest.Run(t, "logserver", "serve", "--config", "/none"); code != 2 || !strings.Contains(stderr, "/none") {
		t.Errorf("a file that is not there: exit %d, %s", code, stderr)
	}
}

// The sample names every flag of serve, commented out or not, and is itself fine.
func TestSampleConfig(t *testing.T) {
	text, err := os.ReadFile("../../deploy/logserver.conf")
	if err != nil {
		t.Fatal(err)
	}
	cmd := newServe()
	if err := cmd.ParseFlags([]string{"--config", "../../deploy/logserver.conf"}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.PreRunE(cmd, nil); err != nil {
		t.Fatal(err)
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		t.Error(err)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" && !strings.Contains(string(text), "\n"+f.Name+" = ") && !strings.Contains(string(text), "\n#"+f.Name+" = ") {
			t.Errorf("deploy/logserver.conf says nothing of %s", f.Name)
		}
	})
	// Lines that are commented out can be taken in, but for those that exclude another.
	all := strings.ReplaceAll(string(text), "\n#", "\n")
	var lines []string
	for line := range strings.Lines(all) {
		if key, _, ok := strings.Cut(line, " = "); ok && cmd.Flags().Lookup(key) != nil {
			lines = append(lines, line)
		}
	}
	whole := newServe()
	if err := whole.ParseFlags([]string{"--config", write(t, "conf", strings.Join(lines, ""), 0o600)}); err != nil {
		t.Fatal(err)
	}
	if err := whole.PreRunE(whole, nil); err != nil {
		t.Errorf("with everything taken in: %v", err)
	}
}

func TestProxies(t *testing.T) {
	got, err := parseProxies([]string{"10.1.2.3/8", "192.0.2.1", "2001:db8::/32"})
	if err != nil || len(got) != 3 || got[0].String() != "10.0.0.0/8" || got[1].String() != "192.0.2.1/32" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parseProxies(nil); got != nil || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	if _, err := parseProxies([]string{"proxy.example"}); err == nil {
		t.Error("a name was taken for a network")
	}
}

func TestQuotaFlagsDefault(t *testing.T) {
	var q quotaFlags
	q.flags(pflag.NewFlagSet("", pflag.ContinueOnError))
	if q.limits() != quota.DefaultLimits {
		t.Errorf("%+v", q.limits())
	}
}
