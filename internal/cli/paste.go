package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/internal/printable"
)

// places are the flags that say which log or witness a command is about, and that
// another command needs as well.
var places = []string{"config", "dir", "ledger", "storage", "state"}

// fromConfig marks a flag that a file has set.
const fromConfig = "tuflog_from_config"

// SetFromConfig marks a flag as set by a file with settings. Pasteable then names
// that file.
func SetFromConfig(f *pflag.Flag) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[fromConfig] = []string{"true"}
}

// Pasteable returns text with cmd's location flags added to the program's other
// commands in it, such as "logserver reindex", so that they can be pasted into a shell.
func Pasteable(cmd *cobra.Command, text string) string {
	root := cmd.Root()
	named := regexp.MustCompile(`\b` + regexp.QuoteMeta(root.Name()) + `((?: [a-z]+){1,2})\b`)
	var out strings.Builder
	for {
		m := named.FindStringSubmatchIndex(text)
		if m == nil {
			return out.String() + text
		}
		words := strings.Fields(text[m[2]:m[3]])
		other := commandOf(root, words)
		if other == nil {
			out.WriteString(text[:m[1]])
			text = text[m[1]:]
			continue
		}
		end := m[0] + len(other.CommandPath())
		rest := text[end:]
		out.WriteString(text[:end])
		text = rest
		// It may have them, or be a process that runs.
		if strings.HasPrefix(rest, " --dir") || strings.HasPrefix(rest, " --config") || strings.HasPrefix(rest, " (process ") {
			continue
		}
		out.WriteString(flagsFor(cmd, other))
	}
}

// commandOf returns the command that the first of the words name, or nil.
func commandOf(root *cobra.Command, words []string) *cobra.Command {
	for n := len(words); n > 0; n-- {
		other, rest, err := root.Find(words[:n])
		if err == nil && len(rest) == 0 && other != root && other.Runnable() {
			return other
		}
	}
	return nil
}

func flagsFor(cmd, other *cobra.Command) string {
	var out strings.Builder
	config := false
	for _, name := range places {
		f := cmd.Flags().Lookup(name)
		if f == nil || !f.Changed || other.Flags().Lookup(name) == nil {
			continue
		}
		if config && slices.Contains(f.Annotations[fromConfig], "true") {
			continue
		}
		config = config || name == "config"
		out.WriteString(" --" + name + " " + printable.ShellWord(f.Value.String()))
	}
	return out.String()
}
