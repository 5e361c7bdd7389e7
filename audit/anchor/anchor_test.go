package anchor_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/proofs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root is RFC 6962, section 2.1, as it stands there.
func root(leaves []proofs.Hash) proofs.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := root(leaves[:k]), root(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// TestSearch: of trees of random leaves, each note text is found at its size, and no other is.
func TestSearch(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	for range 30 {
		n := random.IntN(300)
		leaves := make([]proofs.Hash, n)
		for i := range leaves {
			for j := range leaves[i] {
				leaves[i][j] = byte(random.Uint32())
			}
		}
		digest := func(origin string, size int, root proofs.Hash) anchor.Digest {
			return sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%s\n", origin, size, root))
		}
		want := map[anchor.Digest]int64{}
		var not, wanted []anchor.Digest
		for size := range n + 1 {
			r := root(leaves[:size])
			if random.IntN(2) == 0 {
				want[digest("log.example", size, r)] = int64(size)
			}
			r2 := r
			r2[random.IntN(32)] ^= 1
			not = append(not, digest("log.example", size, r2), digest("log.example", size+1, r), digest("other.example", size, r))
		}
		for d := range want {
			wanted = append(wanted, d)
		}
		s := anchor.NewSearch("log.example", append(wanted, not...))
		for i, leaf := range leaves {
			must(t, s.Append(leaf))
			for d, size := range want { // as soon as the tree has its size, and not before
				if _, ok := s.Size(d); ok != (size <= int64(i)+1) && n < 40 {
					t.Fatalf("seed %d: at %d: size %d found: %v", seed, i+1, size, ok)
				}
			}
		}
		for d, size := range want {
			if got, ok := s.Size(d); !ok || got != size {
				t.Errorf("seed %d, %d leaves: size %d is found at %d, %v", seed, n, size, got, ok)
			}
		}
		for _, d := range not {
			if got, ok := s.Size(d); ok {
				t.Errorf("seed %d, %d leaves: found at %d what is no note text of the tree", seed, n, got)
			}
		}
		if tree := s.Tree(); tree != (proofs.Tree{N: int64(n), Hash: root(leaves)}) {
			t.Errorf("seed %d: tree %v", seed, tree)
		}
	}
}

// TestSearchText: what is looked for is what a log signs.
func TestSearchText(t *testing.T) {
	leaf := proofs.LeafHash([]byte("one"))
	var edge proofs.Edge
	must(t, edge.Append(leaf))
	d := sha256.Sum256([]byte(proofs.Checkpoint{Origin: "log.example/ä", Tree: edge.Tree()}.String()))
	empty := sha256.Sum256([]byte(proofs.Checkpoint{Origin: "log.example/ä", Tree: proofs.EmptyTree}.String()))
	s := anchor.NewSearch("log.example/ä", []anchor.Digest{d, empty})
	if size, ok := s.Size(empty); !ok || size != 0 {
		t.Error("the empty tree is not found")
	}
	must(t, s.Append(leaf))
	if size, ok := s.Size(d); !ok || size != 1 {
		t.Error("the tree of one leaf is not found")
	}
}

func TestJudge(t *testing.T) {
	keys := map[string]proofs.Key{}
	for _, name := range []string{"w1", "w2", "w3", "a1"} {
		s, err := proofs.GenerateSigner(nil, name+".example", proofs.CosignatureV1)
		must(t, err)
		keys[name] = s.Key()
	}
	log, err := proofs.GenerateSigner(nil, "log.example", proofs.ECDSA)
	must(t, err)
	policy := func(rest string) *proofs.Policy {
		text := fmt.Sprintf("log %v\nwitness w1 %v\nwitness w2 %v\nwitness w3 %v\nwitness a1 %v\n%s\n", log.Key(), keys["w1"], keys["w2"], keys["w3"], keys["a1"], rest)
		p, err := proofs.ParsePolicy([]byte(text))
		must(t, err)
		return p
	}
	two := policy("group witnesses 2 w1 w2 w3\nquorum witnesses")
	audited := policy("group witnesses 2 w1 w2 w3\ngroup auditors 1 a1\ngroup both all witnesses auditors\nquorum both")
	none := policy("quorum none")
	at := time.Unix(1_000_000, 0)
	later, ahead := at.Add(anchor.DefaultMargin).Unix()+1, at.Add(1000*time.Hour).Unix()
	for name, tt := range map[string]struct {
		policy     *proofs.Policy
		times      map[string]int64
		extensions []string
		found      bool
		want       anchor.Verdict
	}{
		"found":                         {two, nil, nil, true, anchor.Consistent},
		"nobody cosigned":               {two, nil, nil, false, anchor.Open},
		"cosigned before":               {two, map[string]int64{"w1": at.Unix(), "w2": at.Unix()}, nil, false, anchor.Open},
		"within the margin":             {two, map[string]int64{"w1": later - 1, "w2": later - 1}, nil, false, anchor.Open},
		"a quorum cosigned after":       {two, map[string]int64{"w1": later, "w2": later}, nil, false, anchor.Orphan},
		"one witness is ahead":          {two, map[string]int64{"w1": ahead, "w2": at.Unix()}, nil, false, anchor.Open},
		"no times":                      {two, map[string]int64{"w1": 0, "w2": 0}, nil, false, anchor.Open},
		"a witness and an auditor":      {two, map[string]int64{"w1": later, "a1": later, "w2": at.Unix()}, nil, false, anchor.Open},
		"the auditor came later":        {audited, map[string]int64{"w1": at.Unix(), "w2": at.Unix(), "a1": ahead}, nil, false, anchor.Open},
		"the auditor is not waited for": {audited, map[string]int64{"w1": later, "w2": later}, nil, false, anchor.Orphan},
		"no witness is needed":          {none, nil, nil, false, anchor.Open},
		"extension lines":               {two, map[string]int64{"w1": later, "w2": later}, []string{"x"}, false, anchor.Open},
	} {
		c := &proofs.SignedCheckpoint{Checkpoint: proofs.Checkpoint{Origin: "log.example", Extensions: tt.extensions}}
		for _, w := range tt.policy.Witnesses {
			if sec, ok := tt.times[w.Name]; ok {
				c.Cosignatures = append(c.Cosignatures, proofs.Cosignature{Witness: w.Name, Time: sec})
			}
		}
		if got := anchor.Judge(tt.found, at, tt.policy, c, anchor.DefaultMargin); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if got := anchor.Judge(false, at, two, nil, 0); got != anchor.Open {
		t.Errorf("without a checkpoint: %s", got)
	}
}

func BenchmarkSearch(b *testing.B) {
	const leaves = 1_000_000
	wanted := make([]anchor.Digest, 10_000)
	for i := range wanted {
		wanted[i] = sha256.Sum256(fmt.Append(nil, i))
	}
	for b.Loop() {
		s := anchor.NewSearch("log.example", wanted)
		var leaf proofs.Hash
		for i := range leaves {
			leaf[i%32]++
			if err := s.Append(leaf); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/leaves, "ns/leaf")
}
