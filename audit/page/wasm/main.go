//go:build js && wasm

package main

import (
	"context"
	"encoding/json"
	"syscall/js"
	"time"

	"github.com/tuflog/tuflog/audit/page/drop"
)

func main() {
	js.Global().Set("tuflog", map[string]any{
		"judge":      js.FuncOf(judge),
		"hasher":     js.FuncOf(hasher),
		"bundle":     js.FuncOf(bundle),
		"maxContent": drop.MaxContent, "maxIndex": drop.MaxBundleIndex,
	})
	select {} // it is called for as long as the page is there
}

func judge(_ js.Value, args []js.Value) any {
	in := drop.Input{Policy: args[0].String(), Now: time.UnixMilli(int64(args[1].Float())), Repository: args[3].String(), Edited: args[4].Bool(), Bundle: args[5].Bool()}
	for i := range args[2].Length() {
		f := args[2].Index(i)
		file := drop.File{Name: f.Get("name").String()}
		if content := f.Get("content"); content.IsUndefined() {
			if err := json.Unmarshal([]byte(f.Get("digest").String()), &file.Digest); err != nil {
				return text(drop.Verdict{Outcome: drop.Unable, Text: "The digest of " + file.Name + " cannot be read."})
			}
		} else {
			file.Content = bytesOf(content)
		}
		in.Files = append(in.Files, file)
	}
	return text(drop.Judge(context.Background(), in))
}

// bundle returns the parts of a bundle, or the verdict on it, or null if it is none.
func bundle(_ js.Value, args []js.Value) any {
	beginning := bytesOf(args[1])
	if !drop.IsBundle(beginning) {
		return nil
	}
	parts, verdict := drop.Bundle(args[0].String(), beginning, int64(args[2].Float()))
	return text(map[string]any{"parts": parts, "verdict": verdict})
}

// bytesOf copies a Uint8Array. It is not nil: a file may be empty.
func bytesOf(v js.Value) []byte {
	b := make([]byte, v.Length())
	js.CopyBytesToGo(b, v)
	return b
}

func hasher(js.Value, []js.Value) any {
	h := drop.NewHasher()
	return map[string]any{
		"write": js.FuncOf(func(_ js.Value, args []js.Value) any {
			h.Write(bytesOf(args[0]))
			return nil
		}),
		"digest": js.FuncOf(func(js.Value, []js.Value) any { return text(h.Digest()) }),
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return `{"outcome":"unable","text":"The result cannot be printed."}`
	}
	return string(b)
}
