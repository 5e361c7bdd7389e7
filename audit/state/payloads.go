package state

import (
	"encoding/binary"

	"github.com/tuflog/tuflog/tuf"
)

// payloadBits is how many bits a filter of payloads has: 4 MiB, for a million leaves 32
// bits each.
const payloadBits = 1 << 25

// payloads is a Bloom filter of the payloads of all leaves. A first replay asks of each
// payload where it is first, which for almost all is nowhere: most of these questions need
// no look into the index. It is filled as leaves are added, so only a state that was new
// when it was opened has one; of another the index is asked.
type payloads struct {
	bits []uint64 // nil: it knows nothing
}

// begin begins a filter for a state without leaves.
func (p *payloads) begin() { p.bits = make([]uint64, payloadBits/64) }

// places returns two numbers of bits, which a digest has at random.
func (p *payloads) places(payload tuf.Digest) [2]uint32 {
	return [2]uint32{
		binary.LittleEndian.Uint32(payload[8:]) % payloadBits,
		binary.LittleEndian.Uint32(payload[16:]) % payloadBits,
	}
}

func (p *payloads) add(payload tuf.Digest) {
	if p.bits == nil {
		return
	}
	for _, at := range p.places(payload) {
		p.bits[at/64] |= 1 << (at % 64)
	}
}

// lacks reports whether certainly no leaf has a payload.
func (p *payloads) lacks(payload tuf.Digest) bool {
	if p.bits == nil {
		return false
	}
	for _, at := range p.places(payload) {
		if p.bits[at/64]&(1<<(at%64)) == 0 {
			return true
		}
	}
	return false
}
