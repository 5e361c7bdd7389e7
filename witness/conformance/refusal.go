package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// refuse sends a request that must be refused with one of the statuses, and
// checks that nothing changed.
func (s *session) refuse(body []byte, statuses ...int) error {
	a, err := s.post(body)
	if err != nil {
		return err
	}
	return s.refused(a, statuses...)
}

// clientError stands for all statuses from 400 to 499.
const clientError = 4

func (s *session) refused(a answer, statuses ...int) error {
	ok := false
	var want []string
	for _, status := range statuses {
		name := strconv.Itoa(status)
		if status == clientError {
			name = "4xx"
		}
		ok = ok || a.status == status || a.status/100 == status
		want = append(want, name)
	}
	switch {
	case a.status == http.StatusOK:
		return fmt.Errorf("cosigned; want %s", strings.Join(want, " or "))
	case !ok:
		err := fmt.Errorf("%v; want %s", a, strings.Join(want, " or "))
		// Another status is one fault, a change of state would be a second.
		if second := s.unchanged(); second != nil {
			err = fmt.Errorf("%w\n%v", err, second)
		}
		return err
	}
	return s.unchanged()
}

// malformed sends a request that is not of the form. The specification names no status
// for that. Whether it may be cosigned depends on the rule.
func (s *session) malformed(rule Rule, body []byte) error {
	a, err := s.post(body)
	return s.judgeMalformed(rule, a, err)
}

// judgeMalformed takes what came of the request: a witness may as well hang up.
func (s *session) judgeMalformed(rule Rule, a answer, err error) error {
	var none noAnswer
	switch {
	case errors.As(err, &none) && s.ctx.Err() == nil:
		if second := s.unchanged(); second != nil {
			return fmt.Errorf("%v: %w", err, second)
		}
		return noted{fmt.Sprintf("refused, with %v: no status is specified, but only 4xx says that the sender is at fault", err)}
	case err != nil:
		return err
	case a.status == http.StatusOK && rule.Level == Must:
		return errors.New("cosigned; want 4xx")
	case a.status == http.StatusOK && rule.Level == May:
		return noted{"cosigned: a decoder's choice"}
	case a.status == http.StatusOK:
		return noted{"cosigned: lenient with the sender"}
	}
	if err := s.unchanged(); err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	if a.status/100 != clientError {
		return noted{fmt.Sprintf("refused, with %v: no status is specified, but only 4xx says that the sender is at fault", a)}
	}
	return nil
}

// refuseEither sends a request that breaks two sentences, which want different
// statuses: the first of them is the one that witnesses mostly answer.
func (s *session) refuseEither(a answer, status, other int) error {
	if a.status == other {
		if err := s.unchanged(); err != nil {
			return err
		}
		return noted{fmt.Sprintf("%v; as well as %d, which another sentence requires", a, status)}
	}
	return s.refused(a, status)
}

// conflict sends a request that must be answered with 409 and the size.
func (s *session) conflict(body []byte) error {
	a, err := s.post(body)
	if err != nil {
		return err
	}
	if a.status == http.StatusConflict {
		if n, ok := a.size(); !ok || n != max(s.size, 0) {
			return fmt.Errorf("%v; want size %d", a, max(s.size, 0))
		}
	}
	return s.refused(a, http.StatusConflict)
}
