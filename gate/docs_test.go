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
	if r, d := all.Repositories[0], c.Repositories[0]; all.MaxBody != DefaultMaxBody || all.PerAddress != DefaultPerAddress || all.PerRepository != DefaultPerRepository ||
		r.MaxLifetime != d.MaxLifetime || r.MaxJump != d.MaxJump || r.MaxRoles != d.MaxRoles || r.WithoutHashes != d.WithoutHashes {
		t.Errorf("what is commented out is not the default: %+v", all)
	}
	if client.DefaultTimeout < answerFor {
		t.Errorf("publisher gate waits for %v, and a gate may take %v", client.DefaultTimeout, answerFor)
	}
	for _, want := range []string{
		fmt.Sprintf("(%v)", client.DefaultTimeout),
		fmt.Sprintf("up to %v s later", client.DefaultLate.Seconds()),
		fmt.Sprintf("may send %v a second; %d requests", DefaultPerAddress, maxBodies),
		fmt.Sprintf("%d of them of one address, and the slowest", maxBodiesPerAddress),
		fmt.Sprintf("%d may wait or be\njudged, %d of them", maxWaiting, maxWaitingPerAddress),
		keyPrefix, strings.TrimSpace(recordHead),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
}
