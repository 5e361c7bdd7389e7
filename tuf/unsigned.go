package tuf

import "fmt"

// UnsignedFor returns why a file has more unsigned bytes than a log keeps for a
// role, or "". The parser allows some bytes for each signature; here only signatures
// under an id of the role's keys, of any of the sets, count: anyone can add a
// thousand others to a vendor's file.
func (m *Metadata) UnsignedFor(sets ...KeySet) string {
	ids := 0
	count := func(id string) {
		for _, ks := range sets {
			if ks.Key(id) != nil {
				ids++
				return
			}
		}
	}
	for _, sig := range m.Signatures {
		count(sig.KeyID)
	}
	for _, id := range m.NotHex {
		count(id)
	}
	if most := unsignedMost(m.Payload, ids); len(m.File) > most {
		return fmt.Sprintf("file of %d bytes, the limit for a payload of %d bytes with %d signatures under key ids of the role is %d: signatures cover only the payload",
			len(m.File), len(m.Payload), ids, most)
	}
	return ""
}

// unsignedMost is how many bytes a file of a payload may have with so many signatures.
func unsignedMost(payload []byte, signatures int) int {
	return PayloadFactor*len(payload) + UnsignedBytes + BytesPerSignature*signatures
}
