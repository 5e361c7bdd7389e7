//go:build !linux

package main

import "syscall"

// childAttr: only Linux can have a child die with a parent that is killed.
func childAttr() *syscall.SysProcAttr { return nil }
