package tuf_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// signed is a file of metadata that a key, listed as "k", has signed.
func signed(key ed25519.PrivateKey, payload string) []byte {
	return fmt.Appendf(nil, `{"signatures":[{"keyid":"k","sig":"%x"}],"signed":%s}`, ed25519.Sign(key, []byte(payload)), payload)
}

// A root says who may sign what; targets metadata is read, and held against it.
func Example() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	role := `{"keyids":["k"],"threshold":1}`
	root, err := codec.Parse(tuf.JSON, signed(key, fmt.Sprintf(`{"_type":"root","consistent_snapshot":true,"expires":"2030-01-01T00:00:00Z",`+
		`"keys":{"k":{"keytype":"ed25519","keyval":{"public":"%x"},"scheme":"ed25519"}},`+
		`"roles":{"root":%[2]s,"snapshot":%[2]s,"targets":%[2]s,"timestamp":%[2]s},"spec_version":"1.0.31","version":1}`, key.Public(), role)))
	if err != nil {
		fmt.Println(err)
		return
	}
	targets, err := codec.Parse(tuf.JSON, signed(key, `{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31",`+
		`"targets":{"app.bin":{"hashes":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},"length":3}},"version":7}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := targets.Meets(root.Root.KeySet(tuf.RoleTargets)); err != nil {
		fmt.Println("not signed by enough keys:", err)
		return
	}
	app, _ := targets.Targets.File("app.bin")
	fmt.Println(targets.Type, targets.Version, "lists app.bin;", "abc is it:", app.Matches([]byte("abc")) == nil)
	// Output: targets 7 lists app.bin; abc is it: true
}

// What two readers could understand differently is refused, and the error says where.
func ExampleParse_refused() {
	_, err := codec.Parse(tuf.JSON, []byte(`{"signatures":[],"signed":{"_type":"targets","version":1,"version":2}}`))
	var syntax *tuf.SyntaxError
	fmt.Println(errors.As(err, &syntax), err)
	// Output: true metadata: signed: name "version" is repeated (byte 57)
}
