package witnesstest_test

import (
	"testing"

	"github.com/tuflog/tuflog/witness/witnesstest"
)

func TestMemory(t *testing.T) {
	witnesstest.TestStore(t, func(*testing.T) witnesstest.Store { return new(witnesstest.Memory) })
}
