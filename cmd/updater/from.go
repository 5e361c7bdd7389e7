package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/device/bundle"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// fromFlag registers --from.
func (o *options) fromFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.from, "from", "", "a bundle, or a folder with metadata and targets in it, in the place of the URLs")
}

// needOrigin says which flags are missing or wrong that name where the files come from.
func (o *options) needOrigin(targets bool) error {
	switch {
	case o.from != "" && (o.metadataURL != "" || o.targetBaseURL != ""):
		return usage(errors.New("--from takes the place of --metadata-url and --target-base-url: give one or the other"))
	case o.from != "":
		return nil
	case o.metadataURL == "":
		return usage(errors.New("--metadata-url is needed, or --from with a bundle or a folder"))
	case targets && o.targetBaseURL == "":
		return usage(errors.New("--target-base-url is needed"))
	}
	err := checkBaseURL("metadata-url", o.metadataURL)
	if err == nil && o.targetBaseURL != "" {
		err = checkBaseURL("target-base-url", o.targetBaseURL)
	}
	return err
}

// origin opens what the flags name. The caller closes it.
func (o *options) origin() (origin device.Origin, closeIt func() error, err error) {
	nothing := func() error { return nil }
	if o.from == "" {
		client, err := o.client()
		if err != nil {
			return nil, nil, err
		}
		return &device.Repository{
			URL: o.metadataURL, TargetsURL: o.targetBaseURL, Client: client, MinRate: o.minRate,
			Timeout: o.timeout, Late: fmt.Errorf("the metadata has taken longer than %v (--timeout)", o.timeout),
		}, nothing, nil
	}
	info, err := os.Stat(o.from)
	if err != nil {
		return nil, nil, fmt.Errorf("--from: %w", err)
	}
	if !info.IsDir() {
		b, err := openBundle(o.from)
		if err != nil {
			return nil, nil, err
		}
		return b, b.Close, nil
	}
	metadata := filepath.Join(o.from, "metadata")
	if info, err := os.Stat(metadata); err != nil || !info.IsDir() {
		return nil, nil, fmt.Errorf("--from %s: want a folder with the folders metadata and targets in it, or a bundle", o.from)
	}
	folder, err := device.OpenFolder(metadata)
	if err != nil {
		return nil, nil, err
	}
	folder.Targets = filepath.Join(o.from, "targets")
	return folder, nothing, nil
}

// openBundle opens a bundle. The error of one that is damaged has the exit code 1.
func openBundle(path string) (*bundle.Bundle, error) {
	b, err := bundle.Open(path)
	if errors.Is(err, bundle.ErrMalformed) {
		err = cli.Failed(err)
	}
	return b, err
}

// bars show how far downloads are, one after the other.
type bars struct {
	w      io.Writer
	target string
	have   int64
	bar    *cli.Progress
}

func (b *bars) tell(target string, have, length int64) {
	if b.bar == nil || b.target != target || have < b.have {
		b.end()
		b.bar, b.target, b.have = cli.NewProgress(b.w, printable.Line(fmt.Sprintf("%.60s", target)), length), target, 0
	}
	b.bar.Add(have - b.have)
	b.have = have
}

// end ends the line of the last bar.
func (b *bars) end() {
	if b.bar != nil {
		b.bar.Done()
		b.bar = nil
	}
}

// knowledge is how old what a device knows is.
type knowledge struct {
	of  time.Time // by the times of cosignatures; zero: it knows of none
	now time.Time // by the device's clock; zero: it has none
	// asked reports whether the clock was gone by.
	asked bool
}

func (o *options) knowledge(state verify.State) knowledge {
	k := knowledge{of: state.Floor(time.Time{})}
	if o.now == "" || o.now == "none" {
		clock := *o
		clock.now = ""
		k.now, _ = clock.clock(time.Now())
		k.asked = o.now == ""
	} else {
		k.now, _ = o.clock(time.Now())
		k.asked = true
	}
	return k
}

// expired returns when the timestamp expired that the device keeps, by its clock; zero: it
// has not. A device that is offered nothing but outages does not see new ones: that is how
// updates are kept away from it.
func (o *options) expired(ctx context.Context) time.Time {
	now, err := o.clock(time.Now())
	if err != nil || now.IsZero() || o.metadataDir == "" {
		return time.Time{}
	}
	file, _, err := device.Store{Dir: o.metadataDir}.Kept(ctx, tuf.RoleTimestamp)
	if err != nil {
		return time.Time{}
	}
	m, err := tuf.ParseJSON(file)
	if err != nil || now.Before(m.Expires) {
		return time.Time{}
	}
	return m.Expires
}

func (k knowledge) String() string {
	if k.of.IsZero() {
		return "nothing that this device knows says how old it is"
	}
	s := "what this device knows is of " + k.of.Format(time.RFC3339)
	const same = 2 * time.Minute // clocks differ
	switch age := k.now.Sub(k.of); {
	case k.now.IsZero():
		s += ", and it has no clock to say how long ago that was"
	case age < -same:
		s += ", which is later than its clock shows: " + k.now.UTC().Format(time.RFC3339)
	case age < same:
		s += ", which is now by its clock"
	default:
		s += ", " + about(age) + " ago by its clock"
	}
	if !k.now.IsZero() && !k.asked {
		s += " (which expiry was not judged by)"
	}
	return s
}
