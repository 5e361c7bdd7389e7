package storagetest_test

import (
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/storagetest"
)

func TestMem(t *testing.T) {
	dirs := map[string]*storagetest.Mem{}
	storagetest.Test(t, func(_ *testing.T, dir string) (log.Storage, error) {
		if dirs[dir] == nil {
			dirs[dir] = new(storagetest.Mem)
		}
		return dirs[dir], dirs[dir].Open()
	})
}
