package pigweed_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

func parsed(t testing.TB, file []byte) *tuf.Metadata {
	t.Helper()
	m, err := pigweed.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// outcome names how a check ended.
func outcome(err error) string {
	var short *tuf.ThresholdError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &short):
		return "threshold"
	}
	for name, target := range map[string]error{
		"rollback": pigweed.ErrRollback, "equivocation": pigweed.ErrEquivocation,
		"missing": pigweed.ErrMissing, "payload": pigweed.ErrPayload,
	} {
		if errors.Is(err, target) {
			return name
		}
	}
	return err.Error()
}

func TestVerifyRoot(t *testing.T) {
	a, b, c, x := newSigner(t), newSigner(t), newSigner(t), newSigner(t)
	root := func(version, threshold uint64, keys []signer, by ...signer) *tuf.Metadata {
		return parsed(t, signed(t, rootOf(version, threshold, keys, []signer{x}), by...))
	}
	ab := []signer{a, b}
	first := root(5, 2, ab, a, b)
	for _, test := range []struct {
		name string
		next *tuf.Metadata
		want string
	}{
		{"itself", first, "ok"},
		{"itself, signed again", root(5, 2, ab, b, a), "ok"},
		{"next", root(6, 2, ab, a, b), "ok"},
		{"far ahead", root(90, 2, ab, a, b), "ok"},
		{"older", root(4, 2, ab, a, b), "rollback"},
		{"other content", root(5, 1, ab, a, b), "equivocation"},
		{"one key short", root(6, 2, ab, a), "threshold"},
		{"stranger beside", root(6, 2, ab, a, x), "threshold"},
		{"rotation", root(6, 1, []signer{c}, a, b, c), "ok"},
		{"rotation without the new key", root(6, 1, []signer{c}, a, b), "threshold"},
		{"rotation without the old keys", root(6, 1, []signer{c}, c), "threshold"},
		{"targets", parsed(t, signed(t, targetsOf(6), a, b)), "missing"},
		{"nothing", nil, "missing"},
	} {
		if got := outcome(pigweed.VerifyRoot(test.next, first)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if got := outcome(pigweed.VerifyRoot(first, nil)); got != "missing" {
		t.Errorf("after nothing: %s", got)
	}
	if got := outcome(pigweed.VerifyRoot(first, &tuf.Metadata{Type: "root", Encoding: tuf.JSON, Root: first.Root})); got != "missing" {
		t.Errorf("after a root in JSON: %s", got)
	}
}

// TestWrongRole: a root signed by the keys of targets does not pass for one, nor do its
// bytes for targets metadata.
func TestWrongRole(t *testing.T) {
	a, b := newSigner(t), newSigner(t)
	root := parsed(t, signed(t, rootOf(1, 1, []signer{a}, []signer{b}), a))
	if got := outcome(pigweed.VerifyRoot(parsed(t, signed(t, rootOf(2, 1, []signer{a}, []signer{b}), b)), root)); got != "threshold" {
		t.Errorf("root by the key of targets: %s", got)
	}
	if got := outcome(pigweed.VerifyTargets(parsed(t, signed(t, targetsOf(1), a)), root, nil)); got != "threshold" {
		t.Errorf("targets by the key of root: %s", got)
	}
	if got := outcome(pigweed.VerifyTargets(parsed(t, signed(t, rootOf(1, 1, []signer{a}, []signer{b}), b)), root, nil)); got != "missing" {
		t.Errorf("a root as targets: %s", got)
	}
	file := signed(t, rootOf(1, 1, []signer{a}, []signer{b}), b)
	checkRefusals(t, bundleError, []refusal{
		{"root as targets", bin(3, entry("targets", file)), "targets_metadata[0].value", "metadata of role root, want targets"},
		{"targets as root", bin(5, signed(t, targetsOf(1), a)), "root_metadata", "metadata of role targets, want root"},
	})
}

func TestVerifyTargets(t *testing.T) {
	a, b, c := newSigner(t), newSigner(t), newSigner(t)
	root := parsed(t, signed(t, rootOf(1, 1, []signer{a}, []signer{b}), a))
	added := parsed(t, signed(t, rootOf(2, 1, []signer{a}, []signer{b, c}), a))
	replaced := parsed(t, signed(t, rootOf(2, 1, []signer{a}, []signer{c}), a))
	targets := func(version uint64, name string, by ...signer) *tuf.Metadata {
		return parsed(t, signed(t, targetsOf(version, target(name, nil)), by...))
	}
	had := targets(5, "x", b)
	for _, test := range []struct {
		name            string
		next, root, had *tuf.Metadata
		want            string
	}{
		{"first", had, root, nil, "ok"},
		{"same", had, root, had, "ok"},
		{"newer", targets(6, "x", b), root, had, "ok"},
		{"older", targets(4, "x", b), root, had, "rollback"},
		{"equivocation", targets(5, "y", b), root, had, "equivocation"},
		{"unsigned", targets(6, "x"), root, had, "threshold"},
		{"stranger", targets(6, "x", c), root, had, "threshold"},
		{"older, with a key added", targets(4, "x", c), added, had, "rollback"}, // Pigweed: passes
		{"equivocation, with a key added", targets(5, "y", c), added, had, "equivocation"},
		{"older, with the key replaced", targets(4, "x", c), replaced, had, "ok"},
		{"other content, with the key replaced", targets(5, "y", c), replaced, had, "ok"},
		{"the old key", targets(6, "x", b), replaced, had, "threshold"},
		{"after a root", targets(6, "x", b), root, root, "missing"},
		{"by targets", had, had, nil, "missing"},
		{"by nothing", had, nil, nil, "missing"},
		{"nothing", nil, root, nil, "missing"},
	} {
		if got := outcome(pigweed.VerifyTargets(test.next, test.root, test.had)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestBundleVerify judges payloads, and what a bundle leaves out.
func TestBundleVerify(t *testing.T) {
	a, b := newSigner(t), newSigner(t)
	rootFile := signed(t, rootOf(1, 1, []signer{a}, []signer{b}), a)
	had := pigweed.Trusted{Root: parsed(t, rootFile)}
	targets := bin(3, entry("targets", signed(t, targetsOf(1, target("f", []byte("content")), target("empty", nil)), b)))
	f, empty := bin(4, entry("f", []byte("content"))), bin(4, entry("empty", nil))
	for _, test := range []struct {
		name   string
		bundle []byte
		want   string
	}{
		{"good", msg(targets, f, empty), "ok"},
		{"good, in another order", msg(empty, bin(5, rootFile), f, targets), "ok"},
		{"other payloads", msg(targets, f, empty, bin(4, entry("tlog_proof", []byte("p")))), "ok"},
		{"no targets", msg(f, empty), "missing"},
		{"empty", nil, "missing"},
		{"payload left out", msg(targets, empty), "missing"},
		{"empty payload left out", msg(targets, f), "missing"}, // Pigweed's verifier in Python: passes
		{"longer payload", msg(targets, bin(4, entry("f", []byte("content+"))), empty), "payload"},
		{"other payload", msg(targets, bin(4, entry("f", []byte("kontent"))), empty), "payload"},
	} {
		if _, err := parseBundle(t, test.bundle).Verify(had); outcome(err) != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	if _, err := parseBundle(t, msg(targets, f, empty, bin(5, rootFile))).Verify(pigweed.Trusted{}); outcome(err) != "missing" {
		t.Errorf("without a trusted root: %v", err)
	}
	odd := bin(3, entry("targets", signed(t, targetsOf(1, msg(bin(1, "f"), bin(3, msg(num(1, 2), bin(2, "h"))))), b)))
	if _, err := parseBundle(t, msg(odd, bin(4, entry("f", nil)))).Verify(had); outcome(err) != "payload" || !strings.Contains(err.Error(), "no SHA-256") {
		t.Errorf("a target without a hash that is known: %v", err)
	}
}
