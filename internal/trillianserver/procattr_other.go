//go:build !linux

package trillianserver

import "syscall"

func childAttr() *syscall.SysProcAttr { return nil }
