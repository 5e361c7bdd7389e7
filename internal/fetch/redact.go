package fetch

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

const hidden = "xxxxx" // as net/url writes it

// Redacted returns a URL without its password, which would otherwise end up in logs,
// in the output of CI jobs and in reports. In http and https URLs a user name
// without a password is removed too, since it may be a token. Text that is not a URL
// is treated as far as it looks like one.
func Redacted(rawURL string) string {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return rawURL
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@")
	_, host, bracketed := strings.Cut(rest[:end], "]")
	if !bracketed {
		host = rest[:end]
	}
	if _, port, ok := strings.Cut(host, ":"); at < 0 && ok && strings.Trim(port, "0123456789") != "" {
		at = strings.LastIndex(rest, "@") // a password that nobody has encoded
	}
	if at < 0 {
		return rawURL
	}
	who := hidden
	if !strings.HasPrefix(scheme, "http") {
		who = rest[:at] // a name of databases, say
	}
	if name, _, ok := strings.Cut(rest[:at], ":"); ok {
		who = name + ":" + hidden
	}
	return scheme + "://" + who + rest[at:]
}

// RedactedText returns a text with every URL in it redacted. It is for text from
// elsewhere; use Redacted for a URL.
func RedactedText(text string) string {
	var out strings.Builder
	for {
		i := strings.Index(text, "://")
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		// To the end of the word, or of the quotation.
		ends := " \t\n\"'<>"
		begin := strings.LastIndexAny(text[:i], ends) + 1
		if begin > 0 && text[begin-1] == '"' {
			ends = "\"\n"
		}
		end := strings.IndexAny(text[i:], ends)
		if end < 0 {
			end = len(text) - i
		}
		out.WriteString(text[:begin])
		out.WriteString(Redacted(text[begin : i+end]))
		text = text[i+end:]
	}
}

// RedactError returns an error of net/http or net/url without the password of its
// URL.
func RedactError(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	if redacted := Redacted(e.URL); redacted != e.URL {
		e.URL = redacted
		if e.Op == "parse" {
			e.Err = errors.New("it cannot be read as a URL") // the reason quotes what it cannot read
		}
	}
	return err
}

// Do is client.Do with an error that does not contain a password.
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	return resp, RedactError(err)
}
