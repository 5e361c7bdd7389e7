package proofs_test

import (
	"crypto/ed25519"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// A log signs a checkpoint with a key that may be anywhere: whatever is a crypto.Signer.
func ExampleNewSigner() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	log, err := proofs.NewSigner("log.example", proofs.Ed25519, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := proofs.Checkpoint{Origin: "log.example", Tree: proofs.EmptyTree}.String()
	sig, err := log.Sign(text, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	note := proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}
	checkpoint, _, err := proofs.OpenCheckpoint(note.Marshal(), log.Key())
	fmt.Println(checkpoint.Origin, checkpoint.Tree.N, err)
	// Output: log.example 0 <nil>
}

// A tree grows entry by entry; its root is known after each.
func ExampleFrontier() {
	var tree proofs.Frontier
	for _, entry := range []string{"one", "two", "three"} {
		if _, err := tree.Append(proofs.LeafHash([]byte(entry))); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(tree.Size(), tree.Tree().Hash)
	// Output: 3 Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=
}

// Errors name the line.
func ExampleParsePolicy() {
	_, err := proofs.ParsePolicy([]byte("log log.example+1cbcab9b+short\nquorum none\n"))
	fmt.Println(err)
	// Output: policy: line 1: log: verifier key "log.example+1cbcab9b+short": key is not canonical base64
}
