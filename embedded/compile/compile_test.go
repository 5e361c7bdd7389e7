package compile_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/embedded/cases"
	"github.com/tuflog/tuflog/embedded/compile"
	"github.com/tuflog/tuflog/proofs"
)

func policy(t *testing.T, lines ...string) *proofs.Policy {
	t.Helper()
	p, err := proofs.ParsePolicy([]byte(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func key(name string, alg proofs.Algorithm) string { return cases.Signer(name, alg).Key().String() }

func witness(name string) string {
	return "witness " + name + " " + key(name+".example", proofs.CosignatureV1)
}

func TestPolicy(t *testing.T) {
	log := "log " + key("log.example", proofs.Ed25519)
	pq := "witness pq " + key("pq.example", proofs.MLDSA44)
	for name, c := range map[string]struct {
		policy []string
		logs   int
		keys   int
		groups string
		left   int
	}{
		"a witness":       {[]string{log, witness("a"), "quorum a"}, 1, 2, "2 0 1;", 0},
		"none":            {[]string{log, "quorum none"}, 1, 1, "0 0 0;", 0},
		"a group":         {[]string{log, witness("a"), witness("b"), "group g 2 a b", "quorum g"}, 1, 3, "6 0 2;", 0},
		"groups":          {[]string{log, witness("a"), witness("b"), witness("c"), "group g any a b", "group h all g c", "quorum h"}, 1, 4, "6 0 1;8 1 2;", 0},
		"not the last":    {[]string{log, witness("a"), witness("b"), "group g any a", "group h any b", "quorum g"}, 1, 3, "2 0 1;4 0 1;0 1 1;", 0},
		"two logs":        {[]string{log, "log " + key("other.example", proofs.Ed25519), witness("a"), "quorum a"}, 2, 3, "4 0 1;", 0},
		"log's other":     {[]string{log, "log " + key("log.example", proofs.MLDSA44), "log " + key("log.example", proofs.ECDSA), witness("a"), "quorum a"}, 1, 2, "2 0 1;", 2},
		"witness's other": {[]string{log, witness("a"), pq, "group g any a pq", "quorum g"}, 1, 2, "2 0 1;", 1},
	} {
		got, err := compile.Policy(policy(t, c.policy...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		groups := ""
		for _, g := range got.Groups {
			groups += fmt.Sprint(g.Keys, g.Groups, g.Want) + ";"
		}
		if got.Logs != c.logs || len(got.Keys) != c.keys || groups != c.groups || len(got.LeftOut) != c.left {
			t.Errorf("%s: %d logs, %d keys, groups %s, left out %q", name, got.Logs, len(got.Keys), groups, got.LeftOut)
		}
	}
}

func TestPolicyRefused(t *testing.T) {
	log := "log " + key("log.example", proofs.Ed25519)
	many := []string{log}
	names := ""
	for i := range 16 {
		many = append(many, witness(fmt.Sprintf("w%d", i)))
		names += fmt.Sprintf(" w%d", i)
	}
	groups := []string{log, witness("a")}
	for i := range 17 {
		groups = append(groups, fmt.Sprintf("group g%d any %s", i, map[bool]string{true: "a", false: fmt.Sprintf("g%d", i-1)}[i == 0]))
	}
	for want, p := range map[string]*proofs.Policy{
		"no quorum":          new(proofs.Policy),
		"no log has a key":   policy(t, "log "+key("log.example", proofs.MLDSA44), "quorum none"),
		"17 keys":            policy(t, append(many, "group g 2"+names, "quorum g")...),
		"17 groups":          policy(t, append(groups, "quorum g16")...),
		"quorum needs a key": policy(t, log, witness("a"), "witness pq "+key("pq.example", proofs.MLDSA44), "group g all a pq", "quorum g"),
		"name has 300 bytes": policy(t, "log "+key(strings.Repeat("x", 300), proofs.Ed25519), "quorum none"),
	} {
		if _, err := compile.Policy(p); !errors.Is(err, compile.ErrPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	c, err := compile.Policy(policy(t, log, "quorum none"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "Trust", "9a", "a b", "a;", "int", "static", "class", "bool", strings.Repeat("x", 64)} {
		if _, err := c.Header(name, "x"); !errors.Is(err, compile.ErrPolicy) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// Whatever names a policy has, a C compiler reads them back.
func TestHeader(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("a header is compiled with a C compiler, cc: install one to run this")
	}
	names := []string{"plain", `q"uo\te`, "???/trigraph??", "ümlaut/語😀", "digits\\0017", "a*/b", "%s%n"}
	lines := []string{"log " + key("log.example*/", proofs.Ed25519)}
	for _, n := range names {
		lines = append(lines, "witness "+n+" "+key(n, proofs.CosignatureV1))
	}
	c, err := compile.Policy(policy(t, append(lines, "group gr*/up 2 "+strings.Join(names, " "), "quorum gr*/up")...))
	if err != nil {
		t.Fatal(err)
	}
	header, err := c.Header("trust", "a file */ #error\n\\")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := `#include "policy.h"
#include <stdio.h>
int main(void) {
	int i, k;
	for (i = 0; i < trust.logs + trust.witnesses; i++) {
		printf("%s %08x ", trust.keys[i].name, (unsigned)trust.keys[i].id);
		for (k = 0; k < 32; k++) printf("%02x", trust.keys[i].key[k]);
		putchar('\n');
	}
	printf("%d %d %d\n", trust.group_count, trust.groups[0].keys, trust.groups[0].want);
	return 0;
}
`
	for name, b := range map[string][]byte{"policy.h": header, "main.c": []byte(program)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "main")
	if out, err := exec.Command(cc, "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-I..", "-o", bin, filepath.Join(dir, "main.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, header)
	}
	got, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, k := range c.Keys {
		fmt.Fprintf(&want, "%s %08x %x\n", k.Name(), k.ID(), k.PublicKey())
	}
	want.WriteString("1 254 2\n")
	if string(got) != want.String() {
		t.Errorf("the program says\n%s\nwant\n%s", got, &want)
	}
}
