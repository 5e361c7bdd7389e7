package verify_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// goodPolicies are install policies as they are read.
func goodPolicies() []goodPolicy {
	id := tuf.Sum([]byte("genesis"))
	return []goodPolicy{
		{`{}`, verify.DefaultInstallPolicy()},
		{" {\n} \n", verify.InstallPolicy{FaultyWitnesses: verify.DefaultFaultyWitnesses}},
		{`{"snapshot_hashes":"required","faulty_witnesses":1}`, verify.InstallPolicy{FaultyWitnesses: 1, SnapshotHashes: true}},
		{`{"repository":"` + id.String() + `","require":["targets","root","delegated"],"faulty_witnesses":2,"min_age":"48h","root_quarantine":"0h","approval":"auto","next_policy":""}`,
			verify.InstallPolicy{Repository: id, Require: []string{"targets", "root", "delegated"}, FaultyWitnesses: 2, MinAge: 48 * time.Hour}},
		{`{"faulty_witnesses":0,"min_age":"1h30m"}`, verify.InstallPolicy{MinAge: 90 * time.Minute}},
		{`{"faulty_witnesses":0,"min_age":"99999d99999h99999m99999s"}`, verify.InstallPolicy{MinAge: 99999 * (24*time.Hour + time.Hour + time.Minute + time.Second)}},
		{`{"faulty_witnesses":0,"root_quarantine":"7d","approval":"ask","postpone":"30d","postpone_security":"060h0m"}`,
			verify.InstallPolicy{RootQuarantine: 7 * day, Approval: verify.ApproveAsk, Postpone: 30 * day, PostponeSecurity: 60 * time.Hour}},
		{`{"faulty_witnesses":0,"next_policy":"policy/é.txt","root_quarantine":"168h"}`, verify.InstallPolicy{NextPolicy: "policy/é.txt", RootQuarantine: 7 * day}},
		{`{"faulty_witnesses":0,"next_policy":"` + strings.Repeat("<", 1000) + `","root_quarantine":"7d"}`, verify.InstallPolicy{NextPolicy: strings.Repeat("<", 1000), RootQuarantine: 7 * day}},
		{`{"faulty_witnesses":0,"require":["root"],"min_age":"0h","approval":"manual"}`, verify.InstallPolicy{Require: []string{"root"}, Approval: verify.ApproveManual}},
		{`{"faulty_witnesses":0,"approval":"manual"}`, verify.InstallPolicy{Approval: verify.ApproveManual}},
	}
}

type goodPolicy struct {
	text string
	want verify.InstallPolicy
}

func TestParseInstallPolicy(t *testing.T) {
	for _, tt := range goodPolicies() {
		got, err := verify.ParseInstallPolicy([]byte(tt.text))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
		if again, err := verify.ParseInstallPolicy(got.Marshal()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: printed %s, read again %+v, %v", tt.text, got.Marshal(), again, err)
		}
	}
}

// badPolicies are texts that are refused, and why.
var badPolicies = []struct{ text, why string }{
	{``, "not a JSON object"},
	{`null`, "not a JSON object"},
	{`[]`, "not a JSON object"},
	{`{`, "EOF"},
	{`{} {}`, "more bytes"},
	{`{"Require":["root"]}`, "unknown field"},
	{`{"requires":["root"]}`, "unknown field"},
	{`{"min_age":"1h","min_age":"1h"}`, "twice"},
	{`{"require":[]}`, "empty"},
	{`{"require":null}`, "want a list"},
	{`{"require":"root"}`, "want a list"},
	{`{"require":["snapshot"]}`, "snapshot"},
	{`{"require":["root","root"]}`, "twice"},
	{`{"require":[null]}`, "want a string"},
	{`{"repository":"abcd"}`, "64"},
	{`{"repository":null}`, "want a string"},
	{`{"repository":"` + strings.Repeat("0", 64) + `"}`, "zero"},
	{`{"faulty_witnesses":-1}`, "integer"},
	{`{"faulty_witnesses":1.5}`, "integer"},
	{`{"faulty_witnesses":null}`, "integer"},
	{`{"faulty_witnesses":"1"}`, "integer"},
	{`{"faulty_witnesses":5000}`, "integer"},
	{`{"min_age":"-1h"}`, "duration"},
	{`{"min_age":"2 days"}`, "duration"},
	{`{"min_age":""}`, "duration"},
	{`{"min_age":"48"}`, "duration"},
	{`{"min_age":"h"}`, "duration"},
	{`{"min_age":"48h2d"}`, "duration"},
	{`{"min_age":"1h1h"}`, "duration"},
	{`{"min_age":"1.5h"}`, "duration"},
	{`{"min_age":"100ms"}`, "duration"},
	{`{"min_age":"123456s"}`, "duration"},
	{`{"min_age":"1H"}`, "duration"},
	{`{"min_age":48}`, "want a string"},
	{`{"snapshot_hashes":"optional"}`, "want \"required\""},
	{`{"snapshot_hashes":true}`, "want a string"},
	{`{"root_quarantine":168}`, "want a string"},
	{`{"approval":"ask","postpone":"0s"}`, "no wait"},
	{`{"approval":"auto","postpone":"3d"}`, "nothing waits for an owner"},
	{`{"postpone":"3d"}`, "nothing waits for an owner"},
	{`{"approval":"ask","postpone_security":"3d"}`, "which it shortens"},
	{`{"root_quarantine":"7d","require":["targets"]}`, "a root has no age"},
	{`{"approval":"never"}`, "want \"auto\""},
	{`{"next_policy":"policy/trust.txt"}`, "for which the next policy waits"},
	{`{"next_policy":"policy/trust.txt","root_quarantine":"7d","require":["root","delegated"]}`, "the next policy has no age"},
	{`{"next_policy":"policy/trust.txt","root_quarantine":"7d","require":["root","targets"]}`, "the next policy has no age"},
	{`{"require":["root"],"min_age":"48h"}`, "a release has no age, and would not wait"},
	{`{"require":["targets"],"min_age":"1s"}`, `it needs "targets" and "delegated" in "require"`},
	{`{"require":["delegated","root"],"snapshot_hashes":"required"}`, "nothing says what the log was shown"},
	{`{"require":["root"],"approval":"ask","postpone":"3d"}`, "would wait for its owner without end"},
	{`{"next_policy":null}`, "want a string"},
	{`{"root_quarantine":"7d","next_policy":"` + strings.Repeat("é", 1001) + `"}`, "more than 1000 characters"},
	{"{\"next_policy\":\"\xff\"}", "UTF-8"},
	{strings.Repeat(" ", verify.MaxInstallPolicySize) + `{}`, "limit"},
}

func TestParseInstallPolicyRefuses(t *testing.T) {
	for _, tt := range badPolicies {
		p, err := verify.ParseInstallPolicy([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%.80s: %+v, %v; want an error with %q", tt.text, p, err, tt.why)
		}
	}
}

func FuzzParseInstallPolicy(f *testing.F) {
	f.Add([]byte(`{"repository":"` + tuf.Sum(nil).String() + `","require":["root"],"faulty_witnesses":1,"min_age":"0h","root_quarantine":"0s","approval":"auto","next_policy":""}`))
	f.Add([]byte(`{"min_age":"1h","min_age":"2h"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := verify.ParseInstallPolicy(b)
		if err != nil {
			return
		}
		if p.MinAge < 0 || p.FaultyWitnesses < verify.DefaultFaultyWitnesses || p.Require != nil && len(p.Require) == 0 {
			t.Fatalf("%q accepted as %+v", b, p)
		}
		if again, err := verify.ParseInstallPolicy(p.Marshal()); err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
			t.Fatalf("%q printed as %s: %v", b, p.Marshal(), err)
		}
	})
}
