// The generator of the test vectors and the implementations that they are run
// against have a module of their own, so that nothing of them enters the main one.
module github.com/tuflog/tuflog/bench/vectors

go 1.26.0

require (
	filippo.io/mldsa v1.0.0
	filippo.io/torchwood v0.9.0
	github.com/transparency-dev/formats v0.1.1
	golang.org/x/mod v0.42.0
)

require (
	golang.org/x/crypto v0.52.0 // indirect
	golang.org/x/sync v0.19.0 // indirect
)
