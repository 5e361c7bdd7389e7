package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command takes the flags of all, because the conformance protocol puts them before the
// name of the command. Its help shows those that it reads.

// reads are the flags that commands read, by name; a command that is not there reads all.
var reads = map[string]string{
	"init":           "metadata-dir wait" + readsPolicies,
	"install":        "metadata-dir target-dir wait metadata-url target-base-url now" + readsPolicies + readsNetwork + readsLimits,
	"refresh":        "metadata-dir wait metadata-url target-base-url target-name now" + readsPolicies + readsNetwork + readsLimits,
	"verify":         "metadata-dir target-name target-dir wait now" + readsPolicies + readsLimits,
	"bundle create":  "metadata-dir metadata-url target-base-url target-name now" + readsPolicies + readsNetwork + readsLimits,
	"bundle verify":  "metadata-dir wait now" + readsPolicies + readsLimits,
	"bundle install": "metadata-dir target-dir wait now" + readsPolicies + readsLimits,
	"bundle refresh": "metadata-dir now" + readsPolicies + readsNetwork + readsLimits,
	"status":         readsState,
	"pending":        readsState,
	"approve":        readsState,
	"postpone":       readsState,
	"policy explain": "metadata-dir" + readsPolicies,
	"policy compile": "policy",
	"pigweed verify": "policy wait json",
}

const (
	readsState    = "metadata-dir now wait json"
	readsPolicies = " policy install-policy transparency json"
	readsNetwork  = " proxy ca min-rate timeout"
	readsLimits   = " max-root-length max-timestamp-length max-snapshot-length max-targets-length"
)

// helpOfRead makes the help of each command leave out the flags that it does not read.
func helpOfRead(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		name := strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		if read, ok := reads[name]; ok {
			root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
				f.Hidden = !slices.Contains(strings.Fields(read), f.Name)
			})
		}
		help(cmd, args)
	})
}
