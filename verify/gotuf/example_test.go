package gotuf_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
	"github.com/tuflog/tuflog/verify/gotuf"
)

// A program that is built on go-tuf's updater. (ok ends the program if there is an error.)
func ExampleGuard() {
	dir := ok(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	ok(0, testrepo.Write(dir)) // a repository, a trust policy and a root
	site := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer site.Close()
	ctx := context.Background()

	// The device, once.
	root := ok(os.ReadFile(filepath.Join(dir, "device", "root.json")))
	store := device.Store{Dir: filepath.Join(dir, "device")}
	install := verify.DefaultInstallPolicy()
	ok(0, store.Create(root, ok(verify.Pin(root, install))))

	// Every run passes the gate before the updater is made.
	policy := ok(proofs.ParsePolicy(ok(os.ReadFile(filepath.Join(dir, "policy.txt")))))
	defer ok(store.Lock(ctx, "example", time.Minute))()
	d := &device.Device{Store: store, Origin: &device.Repository{URL: site.URL + "/metadata"}}
	client := ok(d.Refresh(ctx, verify.Config{Policy: policy, Install: install, Now: time.Now()}))
	cfg := ok(config.New(site.URL+"/metadata", nil))
	cfg.RemoteTargetsURL = site.URL + "/targets"
	ok(0, gotuf.Guard(ctx, cfg, client, d.SaveState))

	up := ok(updater.New(cfg))
	info := ok(up.GetTargetInfo("firmware.bin"))
	_, content, err := up.DownloadTarget(info, "", "")
	fmt.Printf("install %q\n", ok(content, err))
	// Output:
	// install "firmware"
}

func ok[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
