package verify

import (
	"bytes"
	"errors"
	"fmt"
)

// unlessPart returns err, or where that is about a file which is not one of the repository
// but the beginning of one, or a page that a network shows to those who have to log in,
// that it could not be fetched: nothing is known against the repository.
func unlessPart(err error, r Request, file []byte) error {
	var refused *Refusal
	if !errors.As(err, &refused) || refused.Code != CodeBadMetadata || refused.Role != r.Role {
		return err
	}
	if err := notFetched(r, partOfJSON(file)); err != nil {
		return err
	}
	return err
}

// notFetched refuses a file that was not fetched, because of err; nil: it was.
func notFetched(r Request, err error) error {
	if err == nil {
		return nil
	}
	return refusal(CodeNetwork, r.Role, fmt.Errorf("%s %w", r.URLName(), err), "could not fetch the whole file")
}

var errWebPage = errors.New("is a web page, as of a network that wants a login, or of a server that answers so where it has no file")

// partOfJSON says why a file is none, or not the whole of one; nil: it does not know.
func partOfJSON(file []byte) error {
	switch text := bytes.TrimSpace(file); {
	case len(text) == 0:
		return errors.New("is empty")
	case text[0] == '<':
		return errWebPage
	case text[0] != '{':
		return nil
	}
	depth, quoted := 0, false
	for i := 0; i < len(file); i++ {
		switch c := file[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("is cut off after %d bytes", len(file))
}

// partOfProof is partOfJSON for a proof.
func partOfProof(file []byte) error {
	switch text := bytes.TrimSpace(file); {
	case len(text) == 0:
		return errors.New("is empty")
	case text[0] == '<':
		return errWebPage
	}
	const first = "c2sp.org/tlog-proof@"
	begins := bytes.HasPrefix(file, []byte(first)) || bytes.HasPrefix([]byte(first), file)
	ends := file[len(file)-1] == '\n' && (bytes.Contains(file, []byte("\n\n")) || bytes.Contains(file, []byte("\r")))
	if begins && !ends {
		return fmt.Errorf("is cut off after %d bytes", len(file))
	}
	return nil
}
