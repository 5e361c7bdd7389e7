package cases_test

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/embedded/cases"
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
	all = append(all, vectors...)
	w, err := cases.NewWorld()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		c := all[r.IntN(40)]
		m, err := cases.New("mutated", w.Policy, c.Claim, cases.Mutate(r, c.Sidecar, all[r.IntN(40)].Sidecar))
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
