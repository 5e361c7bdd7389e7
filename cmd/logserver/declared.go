package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/witness/budget"
)

// declaredFlags say how often the log has declared to ask each of its witnesses.
type declaredFlags struct{ rate budget.Rate }

func (d *declaredFlags) flags(f *pflag.FlagSet) {
	f.Int64Var(&d.rate.PerDay, "checkpoints-per-day", 0, "most add-checkpoint requests to each witness in any 24 hours, as declared to it (qpd of the witness network's lists); 0: as many as there are new checkpoints")
	f.Float64Var(&d.rate.PerSecond, "max-rate", 0, "most add-checkpoint requests to each witness in a second, such as 0.1 for one in ten seconds; 0: any number")
}

func (d *declaredFlags) check() error {
	if err := d.rate.Check(); err != nil {
		return fmt.Errorf("--checkpoints-per-day or --max-rate: %w", err)
	}
	return nil
}

// budget is that of the log's witnesses, for a log in a directory, or on servers. Where nothing is
// declared requests are counted in memory.
func (d *declaredFlags) budget(at *place, on *serverlog.Log) *budget.Budget {
	switch {
	case !d.rate.Declared():
		return budget.New(d.rate, nil)
	case on != nil:
		return budget.New(d.rate, on.Requests())
	}
	return budget.New(d.rate, &budget.File{Path: at.requests()})
}
