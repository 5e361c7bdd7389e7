package proofs

import (
	"bytes"
	"reflect"
	"testing"
)

func TestPolicyMarshal(t *testing.T) {
	for _, in := range []string{
		"log LOG1\nquorum none\n",
		"witness a W1\nquorum a\n",
		"log LOG1\nlog LOG2\nwitness a W1\nwitness b W2\nwitness \xff W3\ngroup g 2 a b\ngroup h 1 g \xff\nquorum h\n",
	} {
		text := []byte(policyText(t, in))
		p, err := ParsePolicy(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Marshal(); !bytes.Equal(got, text) {
			t.Errorf("got  %q\nwant %q", got, text)
		}
	}
	p, err := ParsePolicy([]byte(policyText(t, "# comment\nlog LOG1 https://log.example/\nwitness a W1 https://a.example/\nwitness b W2\ngroup h all a b\nquorum h\n")))
	if err != nil {
		t.Fatal(err)
	}
	if want := policyText(t, "log LOG1\nwitness a W1\nwitness b W2\ngroup h 2 a b\nquorum h\n"); string(p.Marshal()) != want {
		t.Errorf("got %q, want %q", p.Marshal(), want)
	}
	if want := []PolicyGroup{{"h", 2, []string{"a", "b"}}}; !reflect.DeepEqual(p.Groups(), want) || p.Quorum() != "h" {
		t.Errorf("groups %v, quorum %q", p.Groups(), p.Quorum())
	}
	for _, nothing := range []*Policy{nil, {}} {
		if nothing.Marshal() != nil || nothing.Quorum() != "" || nothing.Groups() != nil && len(nothing.Groups()) > 0 {
			t.Errorf("a policy that accepts nothing prints %q", nothing.Marshal())
		}
	}
}
