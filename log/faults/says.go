package main

import (
	"fmt"
	"strings"
)

// says checks that a refusal gives the reason.
func says(refusal, reason string) error {
	if !strings.Contains(refusal, reason) {
		return fmt.Errorf("the refusal does not say %q: %s", reason, refusal)
	}
	return nil
}
