package explain

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

func TestShadowed(t *testing.T) {
	ends := func(name string, paths ...string) tuf.DelegatedRole {
		return tuf.DelegatedRole{Name: name, Paths: paths, Terminating: true}
	}
	goesOn := func(name string, paths ...string) tuf.DelegatedRole {
		return tuf.DelegatedRole{Name: name, Paths: paths}
	}
	hashes := func(name string, prefixes ...string) tuf.DelegatedRole {
		return tuf.DelegatedRole{Name: name, PathHashPrefixes: prefixes, Terminating: true}
	}
	var sixteen []string
	for _, digit := range "0123456789abcdef" {
		sixteen = append(sixteen, "a"+string(digit))
	}
	tests := []struct {
		name  string
		roles []tuf.DelegatedRole
		want  []string
	}{
		{"none", nil, nil},
		{"an earlier one takes the path", []tuf.DelegatedRole{ends("a", "x/*"), goesOn("b", "x/y")}, []string{"b"}},
		{"one that goes on takes nothing", []tuf.DelegatedRole{goesOn("a", "x/*"), goesOn("b", "x/y")}, nil},
		{"a later one takes nothing", []tuf.DelegatedRole{goesOn("b", "x/y"), ends("a", "x/*")}, nil},
		{"one path is left", []tuf.DelegatedRole{ends("a", "x/*"), goesOn("b", "x/y", "z")}, nil},
		{"two take all together", []tuf.DelegatedRole{ends("a", "x/*"), ends("b", "z"), goesOn("c", "x/y", "z")}, []string{"c"}},
		{"a star stays within a segment", []tuf.DelegatedRole{ends("a", "*"), goesOn("b", "x/y")}, nil},
		{"one without paths is trusted for nothing", []tuf.DelegatedRole{ends("a", "*"), goesOn("b")}, nil},
		{"prefixes", []tuf.DelegatedRole{hashes("a", "1", "2"), hashes("b", "1f"), hashes("c", "1f", "3")}, []string{"b"}},
		{"sixteen prefixes are their parent", []tuf.DelegatedRole{hashes("a", sixteen...), hashes("b", "a")}, []string{"b"}},
		{"all hashes take every path", []tuf.DelegatedRole{hashes("a", ""), goesOn("b", "x")}, []string{"b"}},
		{"some hashes take no path", []tuf.DelegatedRole{hashes("a", "1"), goesOn("b", "x")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, all := Shadowed(&tuf.Delegations{Roles: tt.roles})
			if !slices.Equal(got, tt.want) || !all {
				t.Errorf("shadowed are %q, %v, want %q", got, all, tt.want)
			}
		})
	}
}

// However many delegations and patterns a file has, looking at them ends.
func TestShadowedEnds(t *testing.T) {
	d := &tuf.Delegations{}
	for i := range 4096 {
		d.Roles = append(d.Roles, tuf.DelegatedRole{
			Name: fmt.Sprint(i), Terminating: true,
			Paths: []string{fmt.Sprintf("%04d/*/*/*/*/*/*/*", i), fmt.Sprintf("%04d/x", i)},
		})
	}
	if roles, all := Shadowed(d); len(roles) > 0 || all {
		t.Errorf("%d are shadowed, all compared: %v", len(roles), all)
	}
}
