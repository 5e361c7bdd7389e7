package verify_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// A repository comes on a stick, and is judged as by a device that was given its root.
// (must ends the program if there is an error.)
func ExampleRefresh() {
	stick, remove := exampleVendor()
	defer remove()
	ctx := context.Background()
	source := must(device.OpenFolder(stick + "/metadata"))
	source.Root = must(os.ReadFile(stick + "/device/root.json"))
	cfg := verify.Config{
		Policy:  must(proofs.ParsePolicy(must(os.ReadFile(stick + "/policy.txt")))),
		Install: verify.DefaultInstallPolicy(),
	}
	c := must(verify.Refresh(ctx, cfg, must(verify.Pin(source.Root, cfg.Install)), source))
	for _, a := range c.Accepted() {
		fmt.Println(a.Role, a.Metadata.Version, a.Logged != nil)
	}
	found := must(c.Locate(ctx, "firmware.bin"))
	fmt.Println("firmware.bin:", found.Target.Length, "bytes, listed by", found.Role)

	// Without its proof the same release is refused.
	must(0, os.Remove(stick+"/metadata/2.targets.json"+verify.SidecarSuffix))
	_, err := verify.Refresh(ctx, cfg, c.State(), source)
	var refusal *verify.Refusal
	fmt.Println(errors.As(err, &refusal), refusal.Code)
	// Output:
	// root 1 false
	// timestamp 2 false
	// snapshot 2 false
	// targets 2 true
	// firmware.bin: 8 bytes, listed by targets
	// true not-logged
}
