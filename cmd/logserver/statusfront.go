package main

import (
	"fmt"
	"io"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/serverlog"
)

// frontEndStatus is the row in which a front end that may lead describes itself.
type frontEndStatus struct {
	URL     string `json:"url"`
	ID      string `json:"id"` // of its process
	Version string `json:"version"`
	// Heard reports whether it has just said so; Ago is how many seconds ago it did,
	// by the database's clock.
	Heard bool    `json:"heard"`
	Ago   float64 `json:"ago"`
	Leads bool    `json:"leads"`
	// Able reports whether it could lead and publish now, or does; Why why not, or what
	// else is wrong with one that is able.
	Able bool   `json:"able"`
	Why  string `json:"why,omitempty"`
	// Unreached is why it does not reach the one that leads, empty if it does.
	Unreached string `json:"unreached,omitempty"`
	// SameURL reports whether another one says that it is reached at the same URL.
	SameURL bool `json:"same_url,omitempty"`
}

// statusOf returns the rows of front ends. leader is the ID of the holder of the lease.
func statusOf(all []serverlog.FrontEnd, leader string) []frontEndStatus {
	list := make([]frontEndStatus, 0, len(all))
	at := map[string]int{} // how many are at a URL
	for _, f := range all {
		s := frontEndStatus{URL: f.URL, ID: f.ID, Version: f.Version, Heard: f.Heard, Ago: f.Ago.Seconds(), Leads: f.ID == leader, Able: f.Able, Why: f.Why, Unreached: f.Unreached}
		if s.Heard {
			at[cluster.PlaceOf(s.URL)]++
		}
		list = append(list, s)
	}
	for i := range list {
		list[i].SameURL = list[i].Heard && at[cluster.PlaceOf(list[i].URL)] > 1
	}
	return list
}

// saidBy returns the rows of front ends as they are judged.
func saidBy(all []frontEndStatus) []maintain.FrontEnd {
	list := make([]maintain.FrontEnd, 0, len(all))
	for _, f := range all {
		list = append(list, maintain.FrontEnd{URL: f.URL, Heard: f.Heard, Able: f.Able, Why: f.Why})
	}
	return list
}

// printFrontEnds prints a line for each.
func printFrontEnds(w io.Writer, all []frontEndStatus) {
	versions := map[string]bool{}
	for _, f := range all {
		if f.Heard {
			versions[f.Version] = true
		}
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s%s\n", name, printable.Line(fmt.Sprintf(format, args...)))
	}
	for _, f := range all {
		var how string
		switch {
		case !f.Heard:
			line("front end", "%s: not heard of for %v", f.URL, time.Duration(f.Ago*float64(time.Second)).Round(time.Second))
			continue
		case f.Leads && f.Able:
			how = "leads"
		case f.Leads:
			how = "leads, and is not able to: " + f.Why
		case f.Able:
			how = "able to lead"
		default:
			how = "not able to lead: " + f.Why
		}
		line("front end", "%s: %s", f.URL, how)
		if len(versions) > 1 {
			line("", "version %s", f.Version)
		}
		if f.Able && f.Why != "" {
			line("", "%s", f.Why)
		}
		if f.Unreached != "" {
			line("", "does not reach the one that leads: %s", f.Unreached)
		}
		if f.SameURL {
			line("", "another one has the same URL: give each its own --url")
		}
	}
}
