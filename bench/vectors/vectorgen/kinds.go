package main

// The kinds of cases, one per folder. The fields are described in the README
// that is generated beside them.

type sigResult struct {
	Name  string `json:"name"`
	KeyID string `json:"key_id"`
	Sig   string `json:"signature"`
}

type noteCase struct {
	meta
	Note data `json:"note"`
	verdict
	Result *noteResult `json:"result,omitempty"`
}

type noteResult struct {
	Text data        `json:"text"`
	Sigs []sigResult `json:"signatures"`
}

type signaturesCase struct {
	meta
	Lines data `json:"lines"`
	verdict
	Result *signaturesResult `json:"result,omitempty"`
}

type signaturesResult struct {
	Sigs []sigResult `json:"signatures"`
}

type vkeyCase struct {
	meta
	Vkey data `json:"vkey"`
	verdict
	Result *vkeyResult `json:"result,omitempty"`
}

type vkeyResult struct {
	Name   string `json:"name"`
	KeyID  string `json:"key_id"`
	Type   int    `json:"type"`
	Public string `json:"public_key"`
}

type signCase struct {
	meta
	Skey data   `json:"skey"`
	Text data   `json:"text"`
	Time string `json:"time"` // decimal; may be out of range on purpose
	verdict
	Result *signResult `json:"result,omitempty"`
}

type signResult struct {
	Vkey string `json:"vkey"`
	Line string `json:"line"`
}

// verifyCase is for the folders signature and cosignature.
type verifyCase struct {
	meta
	Note data   `json:"note"`
	Vkey string `json:"vkey"`
	verdict
	Result *verifyResult `json:"result,omitempty"`
}

type verifyResult struct {
	Times []number `json:"times"`
}

type checkpointCase struct {
	meta
	Text data `json:"text"`
	verdict
	Result *checkpointResult `json:"result,omitempty"`
}

type checkpointResult struct {
	Origin     string   `json:"origin"`
	Size       number   `json:"size"`
	Root       string   `json:"root"`
	Extensions []string `json:"extensions"`
}

type openCase struct {
	meta
	Checkpoint data     `json:"checkpoint"`
	Logs       []string `json:"logs"`
	verdict
	Result *checkpointResult `json:"result,omitempty"`
}

type policyCase struct {
	meta
	Policy data `json:"policy"`
	verdict
	Result *policyResult `json:"result,omitempty"`
}

type policyResult struct {
	Logs      []policyLog     `json:"logs"`
	Witnesses []policyWitness `json:"witnesses"`
}

type policyLog struct {
	Vkey string `json:"vkey"`
	URL  data   `json:"url"`
}

type policyWitness struct {
	Name data   `json:"name"`
	Vkey string `json:"vkey"`
	URL  data   `json:"url"`
}

type quorumCase struct {
	meta
	Policy   data   `json:"policy"`
	Cosigned []data `json:"cosigned"`
	verdict
	Short   []shortGroup `json:"short,omitempty"`
	Missing []data       `json:"missing,omitempty"`
}

type shortGroup struct {
	Group data `json:"group"`
	Have  int  `json:"have"`
	Want  int  `json:"want"`
}

type witnessedCase struct {
	meta
	Policy     data `json:"policy"`
	Checkpoint data `json:"checkpoint"`
	verdict
	Missing []data           `json:"missing,omitempty"`
	Result  *witnessedResult `json:"result,omitempty"`
}

type witnessedResult struct {
	Log          string        `json:"log"`
	Origin       string        `json:"origin"`
	Size         number        `json:"size"`
	Root         string        `json:"root"`
	Cosignatures []cosignature `json:"cosignatures"`
}

type cosignature struct {
	Witness data   `json:"witness"`
	Time    number `json:"time"`
}

type proofCase struct {
	meta
	Proof data `json:"proof"`
	verdict
	Result *proofResult `json:"result,omitempty"`
}

type proofResult struct {
	Extra      data     `json:"extra"`
	Index      number   `json:"index"`
	Hashes     []string `json:"hashes"`
	Checkpoint data     `json:"checkpoint"`
}

type proveCase struct {
	meta
	Policy data `json:"policy"`
	Proof  data `json:"proof"`
	Entry  data `json:"entry"`
	verdict
	Missing []data           `json:"missing,omitempty"`
	Result  *witnessedResult `json:"result,omitempty"`
}

type inclusionCase struct {
	meta
	Size   number   `json:"size"`
	Root   string   `json:"root"`
	Index  number   `json:"index"`
	Leaf   string   `json:"leaf"`
	Hashes []string `json:"hashes"`
	verdict
}

type consistencyCase struct {
	meta
	OldSize number   `json:"old_size"`
	OldRoot string   `json:"old_root"`
	Size    number   `json:"size"`
	Root    string   `json:"root"`
	Hashes  []string `json:"hashes"`
	verdict
}

type tilePathCase struct {
	meta
	Path data `json:"path"`
	verdict
	Result *tilePathResult `json:"result,omitempty"`
}

type tilePathResult struct {
	Level int    `json:"level"` // -1 for entries
	Index number `json:"index"`
	Width int    `json:"width"`
}

type entriesCase struct {
	meta
	Bundle opaque `json:"bundle"`
	verdict
	Result *entriesResult `json:"result,omitempty"`
}

type entriesResult struct {
	Entries []data `json:"entries"`
}

type edgeCase struct {
	meta
	Edge   data     `json:"edge"`
	Append []string `json:"append,omitempty"`
	verdict
	Result *edgeResult `json:"result,omitempty"`
}

type edgeResult struct {
	Size number `json:"size"`
	Root string `json:"root"`
	Edge data   `json:"edge"`
}

// buildCase is for the folder build: proofs out of tiles.
type buildCase struct {
	meta
	Size    number  `json:"size"`
	Root    string  `json:"root"`
	Index   *number `json:"index,omitempty"`
	OldSize *number `json:"old_size,omitempty"`
	Tiles   []tile  `json:"tiles"`
	verdict
	Result *buildResult `json:"result,omitempty"`
}

// A tile is listed by its path and its hashes, those that repeat only once.
type tile struct {
	Path   string `json:"path"`
	Hashes []run  `json:"hashes"`
}

type run struct {
	Hash  string `json:"hash"`
	Times int    `json:"times"`
}

type buildResult struct {
	Hashes []string `json:"hashes"`
}

type refreshCase struct {
	meta
	Policy data   `json:"policy"`
	Proof  data   `json:"proof"`
	Entry  data   `json:"entry"`
	Newer  data   `json:"newer"`
	Tiles  []tile `json:"tiles"`
	verdict
	Result *refreshResult `json:"result,omitempty"`
}

type refreshResult struct {
	Proof data `json:"proof"`
}

type tileWidthCase struct {
	meta
	Size  number `json:"size"`
	Level int    `json:"level"`
	Index number `json:"index"`
	verdict
	Result tileWidthResult `json:"result"`
}

type tileWidthResult struct {
	Width int `json:"width"` // 0: no such tile
}

// bundleCase is for entries checked against tiles.
type bundleCase struct {
	meta
	Size   number `json:"size"`
	Root   string `json:"root"`
	Index  number `json:"index"`
	Bundle opaque `json:"bundle"`
	Tiles  []tile `json:"tiles"`
	verdict
	Result *entriesResult `json:"result,omitempty"`
}
