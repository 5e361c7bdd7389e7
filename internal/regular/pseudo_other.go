//go:build !linux

package regular

import "os"

func pseudo(*os.File) bool { return false }
