package pigweed_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// read reads one of Pigweed's files.
func read(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(realdata.Bundles(t), name+".pb"))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func bundle(t *testing.T, name string) *pigweed.Bundle {
	t.Helper()
	b, err := pigweed.ParseBundle(read(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// TestRealRoots reads the roots, one after the other.
func TestRealRoots(t *testing.T) {
	var before *tuf.Metadata
	for i, name := range []string{"root_v1", "root_v2", "root_v3"} {
		file := read(t, name)
		root, err := pigweed.Parse(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if root.Type != tuf.RoleRoot || root.Version != int64(i+1) || root.SpecVersion != "0.0.1" || !root.Expires.IsZero() || len(root.Root.Keys) != 2 {
			t.Errorf("%s: read as %s %d, %q, %v, %d keys", name, root.Type, root.Version, root.SpecVersion, root.Expires, len(root.Root.Keys))
		}
		if !bytes.Equal(root.File, file) || !bytes.Contains(file, root.Payload) || root.PayloadDigest != tuf.Sum(root.Payload) {
			t.Errorf("%s: the file or the payload is not as it stands", name)
		}
		if err := root.Meets(root.Root.KeySet(tuf.RoleRoot)); err != nil {
			t.Errorf("%s does not sign itself: %v", name, err)
		}
		if before != nil {
			if err := pigweed.VerifyRoot(root, before); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := pigweed.VerifyRoot(before, root); err == nil {
				t.Errorf("%s follows its successor", name)
			}
		}
		before = root
	}
	first, err := pigweed.Parse(read(t, "root_v1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := pigweed.VerifyRoot(before, first); err != nil {
		t.Errorf("Pigweed does not climb, but: %v", err)
	}
}

// TestRealBundles judges every bundle as verify_results.txt has it, but for the two that
// Pigweed's verifier takes and should not.
func TestRealBundles(t *testing.T) {
	short := func(want string) func(error) error {
		return func(err error) error {
			var threshold *tuf.ThresholdError
			if !errors.As(err, &threshold) || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("want a threshold error with %q", want)
			}
			return nil
		}
	}
	is := func(target error, want string) func(error) error {
		return func(err error) error {
			if !errors.Is(err, target) || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("want %v with %q", target, want)
			}
			return nil
		}
	}
	used := map[string]bool{"threshold2_same_key_twice": true} // TestRealSameKeyTwice
	for _, test := range []struct {
		trusted, incoming string
		refused           func(error) error // nil: accepted
	}{
		{"release_1", "release_1", nil},
		{"release_1", "release_2", nil},
		{"release_2", "release_1", is(pigweed.ErrRollback, "targets 1 after 2")},
		{"release_2", "release_2_equivocation", is(pigweed.ErrEquivocation, "targets 2")}, // Pigweed: passed
		{"release_2", "release_3_targets_key_rotated", nil},
		{"release_3_targets_key_rotated", "release_4_root_key_rotated", nil},
		{"release_1", "release_4_root_key_rotated", nil},
		{"release_4_root_key_rotated", "release_3_targets_key_rotated", short("root 2 does not meet the threshold of root 3")},
		{"release_1", "unsigned", short("signed by 0 keys of the role, 1 needed")},
		{"release_1", "release_2_no_root", nil},
		{"release_1", "release_2_with_extra_payload", nil},
		{"release_1", "release_2_with_unknown_field", nil},
		{"release_1", "release_2_bad_payload", is(pigweed.ErrPayload, "rtos: ")},
		{"release_1", "release_2_bad_signature", short("targets 2 does not meet the threshold of root 1")},
	} {
		used[test.trusted], used[test.incoming] = true, true
		trusted, incoming := bundle(t, test.trusted), bundle(t, test.incoming)
		had := pigweed.Trusted{Root: trusted.Root, Targets: trusted.Targets}
		now, err := incoming.Verify(had)
		switch {
		case test.refused == nil && err != nil:
			t.Errorf("%s after %s: %v", test.incoming, test.trusted, err)
		case test.refused == nil:
			if now.Targets != incoming.Targets || now.Root == nil || incoming.Root != nil && now.Root != incoming.Root {
				t.Errorf("%s after %s: %v is trusted", test.incoming, test.trusted, now)
			}
		case err == nil:
			t.Errorf("%s after %s is accepted", test.incoming, test.trusted)
		default:
			if why := test.refused(err); why != nil {
				t.Errorf("%s after %s: %v: %v", test.incoming, test.trusted, err, why)
			}
			if now != (pigweed.Trusted{}) {
				t.Errorf("%s after %s: refused, and trusted", test.incoming, test.trusted)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(realdata.Bundles(t), "*.pb"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".pb")
		if !used[name] && !strings.HasPrefix(name, "root_v") {
			t.Errorf("%s is not judged", name)
		}
	}
}

// TestRealSameKeyTwice: Pigweed's verifier counts a key twice that signed twice.
func TestRealSameKeyTwice(t *testing.T) {
	_, err := pigweed.ParseBundle(read(t, "threshold2_same_key_twice"))
	var syntax *tuf.SyntaxError
	if !errors.As(err, &syntax) || !strings.Contains(err.Error(), "second signature under key id ") || !strings.Contains(syntax.Path, "signatures[1]") {
		t.Fatalf("got %v", err)
	}
}

// TestRealRoundTrip prints what was read, and embeds a proof into it.
func TestRealRoundTrip(t *testing.T) {
	for _, name := range []string{"release_1", "release_2", "release_2_equivocation", "release_2_bad_payload", "release_2_bad_signature", "release_2_no_root",
		"release_2_with_extra_payload", "release_2_with_unknown_field", "release_3_targets_key_rotated", "release_4_root_key_rotated", "unsigned"} {
		file := read(t, name)
		b := bundle(t, name)
		if !bytes.Equal(b.Marshal(), file) {
			t.Errorf("%s: printed otherwise", name)
		}
		checkEmbed(t, b, "tlog_proof", []byte("a proof"))
		if _, err := b.Embed("rtos", []byte("other")); err == nil && slices.Contains(b.Names(), "rtos") {
			t.Errorf("%s: a listed payload is replaced", name)
		}
	}
	extra := bundle(t, "release_2_with_extra_payload")
	if old, ok := extra.Payload("tlog_proof"); !ok || len(old) == 0 {
		t.Error("the extra payload is not found")
	}
	if plain, unknown := bundle(t, "release_2").Marshal(), bundle(t, "release_2_with_unknown_field").Marshal(); len(unknown) <= len(plain) {
		t.Error("the unknown field is lost")
	}
}
