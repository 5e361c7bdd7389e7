package gate

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/gate/client"
)

// docs/gate.md explains every code, its configuration can be read, and its numbers are those
// of the code.
func TestGatePage(t *testing.T) {
	b, err := os.ReadFile("../docs/gate.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, code := range client.Codes() {
		if !strings.Contains(page, fmt.Sprintf("| `%s` |", code)) {
			t.Errorf("%s is not explained", code)
		}
	}
	config := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(page)
	if config == nil {
		t.Fatal("no configuration")
	}
	c, err := Parse("gate.toml", []byte(config[1]))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != DefaultListen {
		t.Errorf("listen is %s", c.Listen)
	}
	all, err := Parse("gate.toml", []byte(regexp.MustCompile(`(?m)^# `).ReplaceAllString(config[1], "")))
	if err != nil {
		t.Fatal(err)
	}
	if r, d := all.Repositories[0], c.Repositories[0]; all.MaxBody != DefaultMaxBody || all.FetchTimeout != DefaultFetchTimeout || all.PerAddress != DefaultPerAddress || all.PerRepository != DefaultPerRepository ||
		r.MaxLifetime != d.MaxLifetime || r.MaxJump != d.MaxJump || r.MaxRoles != d.MaxRoles || r.WithoutHashes != d.WithoutHashes {
		t.Errorf("what is commented out is not the default: %+v", all)
	}
	if client.DefaultTimeout < answerFor {
		t.Errorf("publisher gate waits for %v, and a gate may take %v", client.DefaultTimeout, answerFor)
	}
	for _, want := range []string{
		fmt.Sprintf("(%v)", client.DefaultTimeout),
		fmt.Sprintf("up to %v s later", client.DefaultLate.Seconds()),
		keyPrefix, strings.TrimSpace(recordHead),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
}

// The table of docs/limits.md has the numbers of the code.
func TestLimitsPage(t *testing.T) {
	b, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n## A gate\n")
	for _, want := range []string{
		fmt.Sprintf("| bytes of a header, time for it | %d, %v |", maxHeader, headerFor),
		fmt.Sprintf("`max_per_address` | – | – | %v/s, %v at once |", DefaultPerAddress, rateOf(DefaultPerAddress).Burst),
		fmt.Sprintf("| bodies that come | %d | – | %d |", maxBodies, maxBodiesPerAddress),
		fmt.Sprintf("newest timestamp | %d | %d | – |", maxUploads, maxUploadsPerRepository),
		fmt.Sprintf("for a URL | %v, %v |", bodyFor, urlFor),
		fmt.Sprintf("| %d; 413, `too-large` |\n| its files | – | – | – | %d;", DefaultMaxBody, DefaultMaxFiles),
		fmt.Sprintf("`max_per_repository` | – | %v/s, %v at once |", DefaultPerRepository, rateOf(DefaultPerRepository).Burst),
		fmt.Sprintf("| timestamps that are fetched | %d | %d | %d of a repository |", maxFetches, maxFetchesPerRepository, maxFetchesPerAddress),
		fmt.Sprintf("| requests to fetch, `max_per_repository` | – | %v/s, %v at once | %v/s, %v at once |", 10*DefaultPerRepository, 10*rateOf(DefaultPerRepository).Burst, DefaultPerRepository, rateOf(DefaultPerRepository).Burst),
		fmt.Sprintf("all of a request | %v, %v |", DefaultFetchTimeout, fetchFor),
		fmt.Sprintf("wait or are judged | %d | %d, %d of a version | – |", maxWaiting, maxWaitingPerRepository, maxWaitingPerVersion),
		fmt.Sprintf("with others | %d | %d | %d of a repository |", maxOthers, maxOthersPerRepository, maxOthersPerAddress),
		fmt.Sprintf("that no key of the vendor's has signed | – | %v/s, %v at once | %v/s, %v at once |", 10*DefaultPerRepository, 10*rateOf(DefaultPerRepository).Burst, DefaultPerRepository, rateOf(DefaultPerRepository).Burst),
		fmt.Sprintf("a request in all | %v |", bodyFor+signFor),
		fmt.Sprintf("%d of them in all, %d MiB", maxBodies+maxUploads+maxWaiting+maxOthers, (maxBodies+maxUploads+maxWaiting+maxOthers)*DefaultMaxBody>>20),
	} {
		if !strings.Contains(section, want) {
			t.Errorf("no %q", want)
		}
	}
}
