package rehearsal

import (
	"fmt"
	"strings"
)

// Says checks that a refusal gives the reason.
func Says(refusal, reason string) error {
	if !strings.Contains(refusal, reason) {
		return fmt.Errorf("the refusal does not say %q: %s", reason, refusal)
	}
	return nil
}
