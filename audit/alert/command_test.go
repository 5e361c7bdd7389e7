package alert_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
)

// What is not there cannot be proved offline: an alert about it says so, and has the command that
// looks again where it was looked for, not at the copy.
func TestAbsence(t *testing.T) {
	acme := found(audit.LiveMissing, "acme", 1)
	base := t.TempDir()
	var lines bytes.Buffer
	d := desk(t, filepath.Join(base, "a.sqlite"), alert.Config{
		To: map[string]alert.To{"file": {Type: "jsonl", Path: "-"}}, Stdout: &lines,
		Routes: []alert.Route{{To: []string{"file"}}}, // outages, too
		Logs: []alert.Log{{
			Name: "example", Policy: "/etc/policy.txt", URL: "https://log.example", StateDir: base, Mirror: "/copy",
			Repositories: []alert.Repository{{ID: acme.Repository.String(), Name: "acme", URLs: []string{"https://a.example/metadata/", "https://b.example/meta data/"},
				Expectations: "https://a.example/expect.note", ExpectationsKey: "k+1+x"}},
		}},
	})
	replay := "auditor replay --policy /etc/policy.txt --log https://log.example"
	for kind, want := range map[audit.Kind]string{
		audit.LiveMissing:         "auditor compare https://a.example/metadata/ 'https://b.example/meta data/' --repository " + acme.Repository.String() + " --policy /etc/policy.txt --log https://log.example",
		audit.ViewWithheld:        replay,
		audit.FileWithheld:        replay,
		audit.Unreachable:         replay,
		audit.ExpectationsMissing: "curl -fsS -o expect.note https://a.example/expect.note && publisher expect check expect.note --key k+1+x",
		audit.FalseAdmission:      "auditor replay --policy /etc/policy.txt --log /copy",
	} {
		lines.Reset()
		ok(t, d.Step(t.Context(), "example", "log.example", []audit.Finding{found(kind, "acme", 1)}, nil))
		ok(t, d.Flush(t.Context()))
		list := events(t, lines.Bytes())
		if len(list) != 1 || list[0].Command != want || list[0].Asks != (kind != audit.FalseAdmission) {
			t.Errorf("%s: told %+v", kind, list)
			continue
		}
		b, err := alert.Mail(&list[0])
		ok(t, err)
		_, body := mailOf(t, b)
		if !strings.Contains(body, "\n    "+want+"\n") || strings.Contains(body, "Nothing offline proves that something is not there.") != list[0].Asks {
			t.Errorf("%s:\n%s", kind, body)
		}
	}
}
