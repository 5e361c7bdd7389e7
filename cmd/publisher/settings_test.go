package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// A setting that is wrong is not taken for a log that is away, also where nothing needs the log;
// and of a token that is not taken the vendor hears before a release needs it.
func TestActionSettings(t *testing.T) {
	runtest.Programs(t, "publisher", "updater", "logserver", "witness")
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte("one")), v.Release(tuf.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	ci := newVendorsCI(t, newWorld(t), v)
	ci.upload(t, v)
	ci.job(t, "logged", 0, nil)
	for input, values := range map[string][]string{
		"wait":       {"soon", "15", "-1m", "15 m", "m"},
		"policy":     {"nowhere.txt"},
		"repository": {ci.with["repository"][1:], strings.ToUpper(ci.with["repository"])},
	} {
		for _, value := range values {
			e := ci.job(t, "waiting", 2, map[string]string{input: value})
			if name := "TUFLOG_" + strings.ToUpper(input); !contains(e.said, "log-release: "+name) || contains(e.said, "== publisher") {
				t.Errorf("%s=%s:\n%s", name, value, e.said)
			}
		}
	}
	if e := ci.job(t, "logged", 0, map[string]string{"wait": "1m30s"}); len(e.commands) > 0 {
		t.Error(e.commands)
	}
	e := ci.run(t, merged(ci.with, map[string]string{"token": "wrong"}))
	if e.code != 0 || len(e.commands) != 1 || !contains(e.commands[0], "::warning", "does not take the token") || !contains(e.summary, "401 unauthorized", "publisher submit could not be done") {
		t.Errorf("exit %d, %q\n%s", e.code, e.commands, e.summary)
	}
}
