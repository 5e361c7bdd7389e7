package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// files is a verify.Source: the folder of a device, and a repository's URL.
type files struct{ dir, url string }

func (f files) name(role string) string { return f.dir + url.PathEscape(role) + ".json" }

func (f files) Kept(_ context.Context, role string) (file []byte, s verify.Sidecars, err error) {
	file, _ = os.ReadFile(f.name(role)) // what cannot be read is fetched again
	s.Proof, _ = os.ReadFile(f.name(role) + verify.SidecarSuffix)
	return file, s, nil
}

func (f files) Keep(_ context.Context, a verify.Accepted) error {
	return errors.Join(os.WriteFile(f.name(a.Role)+verify.SidecarSuffix, a.Sidecars.Proof, 0o644),
		os.WriteFile(f.name(a.Role), a.Metadata.File, 0o644))
}

func (f files) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	return f.get("/metadata/"+r.URLName(), r.MaxLength)
}

func (f files) get(path string, most int64) ([]byte, error) {
	resp, err := http.Get(f.url + path)
	if err != nil {
		return nil, err // an outage
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fs.ErrNotExist // and not an outage: there is no newer root, say
	} else if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, most+1)) // with one byte too many it is refused
}

// A program that updates a device: its folder has the root that it was given, the trust
// policy lies beside it. (must ends the program if there is an error.)
func Example() {
	site, dir, remove := exampleSite()
	defer remove()
	device, ctx := files{dir + "/device/", site}, context.Background()
	policy := must(proofs.ParsePolicy(must(os.ReadFile(dir + "/policy.txt"))))
	cfg := verify.Config{Policy: policy, Install: verify.DefaultInstallPolicy(), Now: time.Now()}

	// The first time; from then on verify.ParseState reads what was stored.
	state := must(verify.Pin(must(os.ReadFile(device.name("root"))), cfg.Install))

	c, refused := verify.Refresh(ctx, cfg, state, device)
	if c != nil {
		must(0, os.WriteFile(device.dir+"state", must(c.State().Marshal()), 0o600))
	}
	must(c, refused)
	found := must(c.Locate(ctx, "firmware.bin"))
	must(0, os.WriteFile(device.dir+"state", must(c.State().Marshal()), 0o600))
	content := must(device.get("/targets/"+found.Name, found.Target.Length))
	check := must(verify.NewTargetCheck(*found.Target))
	must(check.Write(content))
	must(0, check.Done())
	fmt.Printf("targets %d: install %q\n", c.Metadata("targets").Version, content)
	// Output:
	// targets 2: install "firmware"
}
