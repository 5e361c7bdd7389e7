//go:build !linux

package main

import "errors"

const canCut = false

func shutdownExt4(string) error { return errors.ErrUnsupported }
