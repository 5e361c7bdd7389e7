package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// installation is one run of install.
type installation struct {
	*options
	command []string // words, one of which is the placeholder; nil: none
	again   bool     // also what is installed already
}

func newInstall(o *options) *cobra.Command {
	in := &installation{options: o}
	cmd := &cobra.Command{
		Use:   "install TARGET... --exec COMMAND --metadata-dir DIR (--metadata-url URL --target-base-url URL | --from PATH) --policy FILE --target-dir DIR",
		Short: "Download targets, and run a command that installs each",
		Long: `Install does what download does, and then runs a command for each target, in order:
length and hashes are right and the file is in its place before the command sees its
name. The target is remembered as installed once the command has ended with exit code
0, and the command is not run again for the same content (--again). The first command
that fails ends the run.

` + execHelp + `
The command's output is on stderr, its input is empty, and an interrupt is passed on to
it. A run that is killed leaves a state from which the next goes on: a download where it
ended, and a command from its beginning, so it must bear to be run twice.
If a newer release waits or is refused, or the network is away, the command is run for
what was accepted and downloaded before, unless it has succeeded for that.

With --json each event is a line: fetching, ready, running, exited, installed, unchanged,
and result at the end.

Exit codes: 0 installed, now or before; 1 refused, or a command failed; 2 wrong usage.`,
		Example: `  updater install firmware.bin --exec 'install-firmware --verbose {}' --metadata-dir /var/lib/updater --policy trust.txt \
    --metadata-url https://example.com/metadata --target-base-url https://example.com/targets --target-dir /var/lib/targets`,
		Args: some("a target", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("exec") {
				return o.report(cmd, usage(errors.New("--exec is needed: without a command use updater download")))
			}
			o.targetNames = args
			return in.run(cmd)
		},
	}
	o.fromFlag(cmd)
	in.register(cmd)
	return cmd
}

const execHelp = `The command of --exec is split into words at spaces, where it has no quotes; there is no
shell, and what has a meaning for one is refused outside of single quotes. The word {}
becomes the path of the file. It is one argument that begins with a slash, so that a
target's name can be neither an option nor a word of a shell.
`

// register adds the flags of commands that install.
func (in *installation) register(cmd *cobra.Command) {
	cmd.Flags().Func("exec", "command that installs a file, whose path takes the place of {}", func(text string) (err error) {
		in.command, err = splitCommand(text)
		return err
	})
	cmd.Flags().BoolVar(&in.again, "again", false, "run the command also for what is installed already")
}

// run installs o.targetNames.
func (in *installation) run(cmd *cobra.Command) error {
	if len(in.targetNames) == 0 || slices.Contains(in.targetNames, "") {
		return in.report(cmd, usage(errors.New("which target? its path is needed, as targets metadata lists it")))
	}
	if in.command != nil {
		if _, err := exec.LookPath(in.command[0]); err != nil {
			return in.report(cmd, usage(fmt.Errorf("--exec: %w", err)))
		}
	}
	in.events = true
	err := need(flag{"metadata-dir", in.metadataDir}, flag{"target-dir", in.targetDir})
	if err == nil {
		err = in.needOrigin(true)
	}
	if err == nil {
		err = in.checkTargetDir()
	}
	if err == nil {
		err = in.install(cmd)
	}
	return in.report(cmd, err)
}

// install downloads and runs the commands.
func (in *installation) install(cmd *cobra.Command) error {
	store := device.Store{Dir: in.metadataDir}
	lock, err := in.lockInstall(cmd)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	s := &installing{installation: in, cmd: cmd, store: store, holds: lock, bars: bars{w: cmd.ErrOrStderr()}}
	u, err := in.bringUpToDate(cmd, s.progress, s.download)
	s.bars.end()
	if err != nil {
		s.finish(err)
		return err
	}
	res := in.resultOf(u)
	if !in.json {
		fmt.Fprintln(cmd.OutOrStdout(), in.knowledge(u.client.State()))
		if err := printRows(cmd.OutOrStdout(), res.Roles); err != nil {
			return err
		}
	}
	for i, t := range u.targets {
		if t.Err != nil {
			in.printTargetError(cmd.ErrOrStderr(), t.Name, t.Err)
			continue
		}
		if err := s.installOne(t); err != nil {
			if res.OK {
				res.Error = err.Error()
			}
			res.OK = false
			res.Targets[i].Verdict, res.Targets[i].Detail = failed, err.Error()
			s.complain(t.Name, err)
			break
		}
	}
	if in.json {
		if err := in.writeResult(cmd.OutOrStdout(), res); err != nil {
			return err
		}
	}
	if !res.OK {
		return cli.ErrReported
	}
	return nil
}

// installing is a run that has begun.
type installing struct {
	*installation
	cmd   *cobra.Command
	store device.Store
	holds *device.InstallLock
	bars  bars
	told  time.Time // of the last event about a download
	of    string    // the target that it was about
}

// download downloads, and remembers for which targets the command is to be run.
func (s *installing) download(d *device.Device, cfg verify.Config) ([]device.Target, error) {
	targets, err := s.installation.download(s.cmd)(d, cfg)
	if s.command != nil && err == nil {
		if err := d.Begin(targets, cfg.Transparency); err != nil {
			warnOfTrouble(s.cmd.ErrOrStderr(), fmt.Errorf("what the command is run for is not remembered before it has succeeded: %w", err))
		}
	}
	return targets, err
}

// finish runs the command for what an earlier run has accepted and downloaded, if this one
// ends because a newer release is not taken or not to be had. What says that the earlier one
// may be wrong, or that the device cannot tell, is not gone on from.
func (s *installing) finish(why error) {
	var r *verify.Refusal
	if s.command == nil || !errors.As(why, &r) || slices.Contains([]verify.Code{verify.CodeForked, verify.CodeEvidence, verify.CodeSetting, verify.CodeDevice}, r.Code) {
		return
	}
	mode, err := verify.ParseTransparency(s.transparency)
	if err != nil {
		return // which has been said
	}
	targets, err := s.store.Unfinished(s.targetNames, s.targetDir, mode)
	w := s.cmd.ErrOrStderr()
	if err != nil {
		warnOfTrouble(w, fmt.Errorf("what is left to install is not known: %w", err))
	}
	for _, t := range targets {
		fmt.Fprintf(w, "updater: no update now (%s); the command has yet to succeed for what was accepted before: %s, of %s %d\n", r.Code, printable.Line(t.Name), tuf.EscapeRole(t.Role), t.Version)
		if err := s.installOne(t); err != nil {
			s.complain(t.Name, err)
			return
		}
	}
}

// complain says why a target is not installed.
func (s *installing) complain(target string, err error) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), "updater: target %s: %s\n", printable.Line(target), printable.Line(fetch.RedactedText(err.Error())))
}

// event is a line of what happens, for machines.
type event struct {
	Event    string   `json:"event"`
	Target   string   `json:"target"`
	Role     string   `json:"role,omitempty"`
	Version  int64    `json:"version,omitempty"`
	File     string   `json:"file,omitempty"`
	Have     *int64   `json:"have,omitempty"`   // bytes that are there
	Length   *int64   `json:"length,omitempty"` // bytes that it will have
	Command  []string `json:"command,omitempty"`
	ExitCode *int     `json:"exit_code,omitempty"` // -1: a signal has ended it
}

func writeEvent(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// tell prints an event. That it cannot be printed shows at the end.
func (s *installing) tell(e event) {
	if s.json {
		_ = writeEvent(s.cmd.OutOrStdout(), e)
	}
}

// progress shows a download on the terminal, or tells of it: as it begins, and once a second.
func (s *installing) progress(target string, have, length int64) {
	if !s.json {
		s.bars.tell(target, have, length)
		return
	}
	if now := time.Now(); s.of != target || now.Sub(s.told) >= time.Second {
		s.of, s.told = target, now
		s.tell(event{Event: "fetching", Target: target, Have: &have, Length: &length})
	}
}

// installOne runs the command for a target that is in its place, unless it was run for the
// same content.
func (s *installing) installOne(t device.Target) error {
	file, err := filepath.Abs(t.Path)
	if err != nil {
		return err
	}
	e := event{Target: t.Name, Role: t.Role, Version: t.Version, File: file}
	s.tell(e.as("ready"))
	w := s.cmd.OutOrStdout()
	says := func(what string) {
		if !s.json {
			fmt.Fprintf(w, "%s: %s, of %s %d, %s\n", what, printable.Line(t.Name), tuf.EscapeRole(t.Role), t.Version, printable.Line(file))
		}
	}
	if s.command == nil {
		says("in place")
		return nil
	}
	if !s.again && s.isInstalled(t) {
		s.tell(e.as("unchanged"))
		says("installed before")
		return nil
	}
	if ctx := s.cmd.Context(); ctx.Err() != nil {
		return ctx.Err()
	}
	opened, err := t.Open()
	if err != nil {
		return fmt.Errorf("its file was changed after it was checked, so the command was not run; the next run fetches it again: %w", err)
	}
	defer opened.Close() // which was only read
	e.Command = commandFor(s.command, file)
	s.tell(e.as("running"))
	err = runCommand(s.cmd.Context(), e.Command, s.holds)
	code := 0
	if ended := (*exitError)(nil); errors.As(err, &ended) {
		code = ended.state.ExitCode()
	} else if err != nil {
		return fmt.Errorf("%s could not be run: %w", s.command[0], err)
	}
	exited := e.as("exited")
	exited.ExitCode = &code
	s.tell(exited)
	if err != nil {
		return fmt.Errorf("it is not installed: %w", err)
	}
	if err := opened.Unchanged(); err != nil {
		return fmt.Errorf("its file was changed while the command ran, so what the command had is not known, and the next run installs it again: %w", err)
	}
	if err := s.remember(t); err != nil {
		return fmt.Errorf("it is installed, and that could not be remembered, so the next run installs it again: %w", err)
	}
	e.Command = nil
	s.tell(e.as("installed"))
	says("installed")
	return nil
}

func (e event) as(name string) event {
	e.Event = name
	return e
}

// isInstalled reports whether the command has installed this content.
func (s *installing) isInstalled(t device.Target) bool {
	installed, err := s.store.Installed()
	if err != nil {
		warnOfTrouble(s.cmd.ErrOrStderr(), fmt.Errorf("what was installed is not known, so it is installed again: %w", err))
	}
	return slices.ContainsFunc(installed, func(i device.Installed) bool { return i.Name == t.Name && i.Is(t.Listed) })
}

// remember notes that a target is installed, also if the run was interrupted meanwhile.
func (s *installing) remember(t device.Target) error {
	ctx := context.WithoutCancel(s.cmd.Context())
	unlock, err := s.lock(s.store.Lock(ctx, s.cmd.CommandPath(), max(s.wait, time.Minute)))
	if err != nil {
		return err
	}
	defer unlock()
	return s.store.SetInstalled(t.Installed())
}
