package audit

import (
	"regexp"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// This file looks at names that a vendor gives.

// outside says how a name leads out of the folder in which a client puts a file under that
// name; empty: it does not.
func outside(name string) string {
	switch {
	case strings.HasPrefix(name, "/"):
		return "begins at the root of the file system"
	case strings.Contains(name, `\`):
		return "has a backslash"
	case len(name) >= 2 && name[1] == ':' && (name[0]|0x20) >= 'a' && (name[0]|0x20) <= 'z':
		return "begins with the name of a drive"
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "goes up"
	case name == "." || name == "":
		return "is no file"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "has a control character"
	}
	return ""
}

// A path singles out devices if it holds what only one of them has: a UUID, a MAC address
// or an e-mail address.
var singling = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"a UUID", regexp.MustCompile(`(?i)(^|[^0-9a-z])[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}($|[^0-9a-z])`)},
	{"a MAC address", regexp.MustCompile(`(?i)(^|[^0-9a-z])([0-9a-f]{2}:){5}[0-9a-f]{2}($|[^0-9a-z:])`)},
	{"a MAC address", regexp.MustCompile(`(?i)(^|[^0-9a-z-])([0-9a-f]{2}-){5}[0-9a-f]{2}($|[^0-9a-z-])`)},
	{"an e-mail address", regexp.MustCompile(`(?i)[0-9a-z._+-]+@[0-9a-z-]+\.[0-9a-z.-]*[a-z]`)},
}

// singles says what in a path singles out devices; empty: nothing.
func singles(path string) string {
	for _, s := range singling {
		if s.pattern.MatchString(path) {
			return s.what
		}
	}
	return ""
}

// singlingFields are names of custom fields that say for whom a target is, without case,
// hyphens and underscores. Those that as often say what a target is, such as device, serial
// or uuid, are not among them.
var singlingFields = []string{
	"deviceid", "deviceids", "deviceserial", "devices", "ecuid", "ecuidentifier", "ecuserial", "serialnumber", "serialnumbers",
	"imei", "imsi", "macaddress", "vin", "udid", "machineid", "customer", "customers", "customerid", "tenant", "tenantid", "accountid", "userid",
	"cohort", "cohorts", "canary", "rollout", "rolloutpercentage", "percentage", "ring", "rings", "allowlist", "whitelist",
	"region", "regions", "country", "countries",
}

// marks returns how a target says for whom it is: what its path has, and the name of a
// member of its custom data.
func marks(path string, custom []byte) (list []string) {
	if mark := singles(path); mark != "" {
		list = append(list, mark)
	}
	if field := singlingField(custom); field != "" {
		list = append(list, "its custom data has "+tuf.Word(clip(field, 64)))
	}
	return list
}

// singlingField returns the name of a member of custom data, at any depth, that says for
// whom the target is; empty: none.
func singlingField(custom []byte) string {
	found := ""
	for spelled, value := range members(custom) {
		name, _ := unspelled(spelled)
		inner := singlingField(value)
		if slices.Contains(singlingFields, separators.Replace(strings.ToLower(string(name)))) {
			inner = string(name)
		}
		if inner != "" && (found == "" || inner < found) {
			found = inner
		}
	}
	for element := range elements(custom) {
		if field := singlingField(element); field != "" {
			return field
		}
	}
	return found
}

// separators are left out of the names of fields.
var separators = strings.NewReplacer("-", "", "_", "")

// dotted is a version number: numbers with dots between them.
var dotted = regexp.MustCompile(`(^|[^0-9])[0-9]+(\.[0-9]+)+($|[^0-9])`)

// versioned reports whether the last part of a path has a version number.
func versioned(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return strings.Contains(name, ".") && dotted.MatchString(name) // most names are not looked at closely
}

// customVersion returns the member version of custom data, as it is written; empty: none.
func customVersion(custom []byte) []byte {
	version, _ := member(custom, "version")
	return version
}
