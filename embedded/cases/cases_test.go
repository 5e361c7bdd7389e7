package cases_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/embedded/cases"
	"github.com/tuflog/tuflog/embedded/compile"
)

// The verdicts of the vectors and those of the Go code agree, and all folders have some that apply.
func TestVectors(t *testing.T) {
	all, report, err := cases.Vectors("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 500 || len(report) != 8 {
		t.Errorf("%d cases: %q", len(all), report)
	}
	codes := map[cases.Code]int{}
	for _, c := range all {
		codes[c.Code]++
	}
	for _, code := range []cases.Code{cases.OK, cases.NotLogged, cases.BadProof, cases.WrongLog, cases.QuorumShort} {
		if codes[code] == 0 {
			t.Errorf("no case is %s", code)
		}
	}
}

func TestScenes(t *testing.T) {
	all, err := cases.Scenes(50)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[cases.Code]int{}
	for _, c := range all {
		codes[c.Code]++
	}
	for code := cases.OK; code < cases.TooLarge; code++ {
		if codes[code] == 0 && code != cases.WrongLog {
			t.Errorf("no scene is %s", code)
		}
	}
}

// The edges are of both sides: what is taken, and what is not.
func TestEdges(t *testing.T) {
	all, err := cases.Edges()
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[cases.Reason]int{}
	for _, c := range all {
		reasons[c.Reason]++
	}
	for reason := cases.Malformed; reason < cases.Misuse; reason++ {
		if reasons[reason] == 0 {
			t.Errorf("no edge has reason %d", reason)
		}
	}
	if reasons[cases.Fine] < 50 {
		t.Errorf("%d edges are taken", reasons[cases.Fine])
	}
}

// The verifier in C says what the Go code says, of what the vectors have and of some mutations.
// make check has more of them, under sanitizers; differ has as many as one wants.
func TestVerifier(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("the verifier is compiled with a C compiler, cc: install one to run this")
	}
	bin := filepath.Join(t.TempDir(), "check")
	build := exec.Command(cc, "-std=c99", "-O1", "-o", bin, "tuflog.c", "check/check.c", "check/program.c", "check/crypto_host.c", "-lsodium", "-lmbedcrypto")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("sodium.h")) || bytes.Contains(out, []byte("mbedtls")) || bytes.Contains(out, []byte("-lsodium")) {
			t.Skipf("the verifier's check needs libsodium-dev and libmbedtls-dev: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	all, err := cases.Scenes(50)
	if err != nil {
		t.Fatal(err)
	}
	vectors, _, err := cases.Vectors("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	edges, err := cases.Edges()
	if err != nil {
		t.Fatal(err)
	}
	all = append(append(all, vectors...), edges...)
	r, original := rand.New(rand.NewPCG(1, 2)), len(all)
	for range 2000 {
		c := all[r.IntN(original)]
		m, err := cases.New("mutated", c.Trust, c.Claim, cases.Mutate(r, c.Sidecar, all[r.IntN(40)].Sidecar))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	var in []byte
	for _, c := range all {
		in = cases.Append(in, c)
	}
	cmd := exec.Command(bin, "-")
	cmd.Stdin = bytes.NewReader(in)
	answers, err := cmd.Output()
	if err != nil || len(answers) != 2*len(all) {
		t.Fatalf("%v: %d answers to %d cases", err, len(answers), len(all))
	}
	for i, c := range all {
		if code, reason := cases.Code(answers[2*i]), cases.Reason(answers[2*i+1]); !c.Accepts(code, reason) {
			t.Errorf("%s: the verifier says %s (reason %d), the Go code %s (reason %d)", c.Name, code, reason, c.Code, c.Reason)
		}
	}
}

// A build whose limits the code has no room for is refused by the compiler, and the code needs no
// int of more than 16 bits.
func TestBuilds(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("the verifier is compiled with a C compiler, cc: install one to run this")
	}
	for limit, fits := range map[string]bool{
		"TUFLOG_MAX_HASHES=63": true, "TUFLOG_MAX_HASHES=64": false, "TUFLOG_MAX_HASHES=0": false,
		"TUFLOG_MAX_TEXT=32767": true, "TUFLOG_MAX_TEXT=65536": false, "TUFLOG_MAX_TEXT=0": false,
	} {
		if out, err := exec.Command(cc, "-std=c99", "-fsyntax-only", "-D"+limit, "../tuflog.c").CombinedOutput(); (err == nil) != fits {
			t.Errorf("%s: %v: %s", limit, err, out)
		}
	}
	avr, err := exec.LookPath("avr-gcc")
	if err != nil {
		t.Skip("a compiler whose int has 16 bits is in gcc-avr and avr-libc: install them to run the rest")
	}
	out, err := exec.Command(avr, "-mmcu=atmega2560", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "../tuflog.c").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What is not installed is named, with the package that has it.
func TestMissing(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("the Makefile is run with make: install it to run this")
	}
	build := t.TempDir()
	for want, args := range map[string][]string{
		"apt-get install gcc libc6-dev":     {"CC=no-such-cc", build + "/check"},
		"apt-get install libsodium-dev":     {"CC=sh -c 'exit 1' ", build + "/check"},
		"apt-get install gcc-arm-none-eabi": {"M4CC=no-such-cc", build + "/m4/tuflog.o"},
	} {
		out, err := exec.Command("make", append([]string{"-C", "..", "BUILD=" + build}, args...)...).CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%q: %v, want %q: %s", args, err, want, out)
		}
	}
}

// The example of README.md is compiled with a policy that was compiled.
func TestReadme(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("the example is compiled with a C compiler, cc: install one to run this")
	}
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```c\n")
	example, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("README.md has no example in C")
	}
	w, err := cases.NewWorld()
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := compile.Policy(w.Policy)
	if err != nil {
		t.Fatal(err)
	}
	header, err := compiled.Header("trust", "trust.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const device = `#include <stddef.h>
#include <stdint.h>
int crypto_sign_verify_detached(const unsigned char *, const unsigned char *, unsigned long long, const unsigned char *);
static int sha256_context;
int sha256_begin(void *), sha256_add(void *, const uint8_t *, size_t), sha256_end(void *, uint8_t *);
`
	for name, b := range map[string][]byte{"trust_policy.h": header, "example.c": []byte(device + example)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(cc, "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-I..", "-fsyntax-only", filepath.Join(dir, "example.c")).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
