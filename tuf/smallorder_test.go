package tuf

import (
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"testing"
)

// edwards is a point of edwards25519 in affine coordinates, computed slowly and
// from the equations alone: -x² + y² = 1 + dx²y².
type edwards struct{ x, y *big.Int }

var (
	edwardsP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	edwardsD = mod(new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), edwardsP)))
	// edwardsL is the order of the subgroup that keys should be in; the whole
	// group has eight times as many points.
	edwardsL, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
)

func mod(n *big.Int) *big.Int { return n.Mod(n, edwardsP) }

func mul(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }

func (p edwards) add(q edwards) edwards {
	one := big.NewInt(1)
	k := mul(edwardsD, mul(mul(p.x, q.x), mul(p.y, q.y)))
	x := mul(new(big.Int).Add(mul(p.x, q.y), mul(p.y, q.x)), new(big.Int).ModInverse(mod(new(big.Int).Add(one, k)), edwardsP))
	y := mul(new(big.Int).Add(mul(p.y, q.y), mul(p.x, q.x)), new(big.Int).ModInverse(mod(new(big.Int).Sub(one, k)), edwardsP))
	return edwards{x, y}
}

func (p edwards) times(n *big.Int) edwards {
	sum := edwards{new(big.Int), big.NewInt(1)}
	for i := n.BitLen() - 1; i >= 0; i-- {
		sum = sum.add(sum)
		if n.Bit(i) == 1 {
			sum = sum.add(p)
		}
	}
	return sum
}

// edwardsAt returns a point with this y, if there is one.
func edwardsAt(y int64) (edwards, bool) {
	yy := mul(big.NewInt(y), big.NewInt(y))
	below := mod(new(big.Int).Add(mul(edwardsD, yy), big.NewInt(1)))
	xx := mul(new(big.Int).Sub(yy, big.NewInt(1)), new(big.Int).ModInverse(below, edwardsP))
	x := new(big.Int).ModSqrt(xx, edwardsP)
	return edwards{x, big.NewInt(y)}, x != nil
}

// encodings returns every 32 bytes that crypto/ed25519 may take for the point:
// y may be written plus the prime, and where x is 0 its sign may be either.
func (p edwards) encodings() [][]byte {
	var list [][]byte
	for _, y := range []*big.Int{p.y, new(big.Int).Add(p.y, edwardsP)} {
		if y.BitLen() > 255 {
			continue
		}
		for _, sign := range []uint{0, 1} {
			if p.x.Sign() != 0 && p.x.Bit(0) != sign {
				continue
			}
			n := new(big.Int).SetBit(y, 255, sign)
			b := n.FillBytes(make([]byte, 32))
			for i := range 16 {
				b[i], b[31-i] = b[31-i], b[i]
			}
			list = append(list, b)
		}
	}
	return list
}

// smallOrder returns the eight points of small order: the multiples of one that
// has order 8, which is what the order of the subgroup leaves of some point.
func smallOrder(t *testing.T) []edwards {
	t.Helper()
	for y := int64(2); y < 100; y++ {
		p, ok := edwardsAt(y)
		if !ok {
			continue
		}
		p = p.times(edwardsL)
		if p.times(big.NewInt(4)).y.Cmp(big.NewInt(1)) == 0 {
			continue // its order is a divisor of 4
		}
		var points []edwards
		for n := range int64(8) {
			points = append(points, p.times(big.NewInt(n)))
		}
		return points
	}
	t.Fatal("no point of order 8")
	return nil
}

// Under a key of small order anybody can sign: S = 0 and one of eight R do for an
// eighth of all messages at least. Two such keys would meet a threshold of two
// with nobody's private key.
func TestSmallOrder(t *testing.T) {
	points := smallOrder(t)
	distinct, forged, all := map[string]bool{}, 0, 0
	for _, a := range points {
		distinct[a.y.String()+" "+a.x.String()] = true
		for _, encoded := range a.encodings() {
			all++
			key := &Key{ID: "small", Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(encoded)}
			if id, ok := key.Identity(); ok {
				t.Errorf("%x can be read, as %v", encoded, id)
			}
			for n := range byte(40) {
				m := &Metadata{Payload: []byte{n}}
				for _, r := range points {
					sig := append(r.encodings()[0], make([]byte, 32)...)
					if !ed25519.Verify(encoded, m.Payload, sig) {
						continue
					}
					forged++
					m.Signatures = []Signature{{"small", sig}}
					ks := NewKeySet(map[string]*Key{"small": key}, Role{KeyIDs: []string{"small"}, Threshold: 1})
					if key.Verify(m.Payload, sig) || len(m.Signers(ks)) > 0 || m.Meets(ks) == nil {
						t.Errorf("%x: the signature %x of nobody counts", encoded, sig)
					}
				}
			}
		}
	}
	if len(distinct) != 8 || all != 14 || forged < 100 {
		t.Errorf("%d points in %d encodings and %d signatures by nobody: this tests too little", len(distinct), all, forged)
	}
}

// A y that is not reduced would give a key a second identity.
func TestSecondEncodings(t *testing.T) {
	found := 0
	for y := range int64(19) {
		p, ok := edwardsAt(y)
		if !ok {
			continue
		}
		small := p.times(big.NewInt(8)).y.Cmp(big.NewInt(1)) == 0
		for _, encoded := range p.encodings() {
			key := &Key{Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(encoded)}
			reduced := encoded[31]&0x7f == 0
			if _, ok := key.Identity(); ok != (reduced && !small) {
				t.Errorf("%x, the point with y = %d, can be read: %v", encoded, y, ok)
			}
			if !reduced && !small {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no point has a second encoding: this tests nothing")
	}
	for range 100 {
		if _, ok := ed25519TestKey(t).key.Identity(); !ok {
			t.Error("a good key cannot be read")
		}
	}
}
