//go:build !linux

package main

import (
	"os"
	"time"
)

// peak is not known.
func peak(*os.ProcessState) int64 { return 0 }

// processor is not known.
func processor() time.Duration { return 0 }
