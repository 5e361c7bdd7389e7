package sqlitefile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
)

// The write-ahead log beside a database: a header, and frames with a page each. Every
// frame has the salts of the header, until the log begins anew over old frames, and a
// checksum over all before it. All numbers are big-endian.
const (
	walHeader   = 32
	frameHeader = 24
)

// frame is what is said of a frame: the number of its page, and whether a transaction ends
// with it.
type frame struct {
	page    uint32
	commits bool
	at      int64 // where the page is in the log
}

// LostLog reports whether the write-ahead log that a process has left beside a file has
// lost transactions that were safe. SQLite takes the log to end at a frame with a wrong
// checksum, as after a power cut in the middle of a write. But transactions before the last
// one were on the disk when that began, and the last one was, if its pages are in the file
// already. The state that SQLite would show is then older, or worse: older pages over newer
// ones, each with a good checksum.
func LostLog(path string) (bool, error) {
	f, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lost, whole, err := lostFrames(bufio.NewReaderSize(f, 1<<20))
	if err != nil || !whole {
		return !whole, err
	}
	for i, l := range lost {
		if l.commits && i < len(lost)-1 {
			return true, nil
		}
	}
	return copiedBack(path, f, lost)
}

// lostFrames returns the frames behind the last good transaction that are not of an older
// log. whole is false if the header is not that of a log, and something follows it.
func lostFrames(r io.Reader) (lost []frame, whole bool, err error) {
	var header [walHeader]byte
	b := make([]byte, frameHeader+pageSize)
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, true, ignoreEnd(err)
	}
	sums := walSums{order: binary.LittleEndian}
	if header[3]&1 == 1 {
		sums.order = binary.BigEndian
	}
	sums.add(header[:24])
	if !sums.are(header[24:]) || binary.BigEndian.Uint32(header[8:]) != pageSize {
		_, err := io.ReadFull(r, b)
		return nil, err != nil, ignoreEnd(err)
	}
	good := true // so far
	for at := int64(walHeader); ; at += int64(len(b)) {
		if _, err := io.ReadFull(r, b); err != nil {
			return lost, true, ignoreEnd(err)
		}
		ours := [8]byte(b[8:16]) == [8]byte(header[16:24])
		if good {
			sums.add(b[:8])
			sums.add(b[frameHeader:])
			good = ours && sums.are(b[16:24])
		}
		if !ours {
			continue
		}
		l := frame{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]) != 0, at + frameHeader}
		if lost = append(lost, l); good && l.commits {
			lost = lost[:0]
		}
	}
}

// copiedBack reports whether frames, but for one that is damaged, are in the file.
func copiedBack(path string, log io.ReaderAt, frames []frame) (bool, error) {
	if len(frames) < 2 {
		return false, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	other := 0
	var page, logged [pageSize]byte
	for _, l := range frames {
		at := (int64(l.page) - 1) * pageSize
		there := at >= 0 && at+pageSize <= info.Size()
		if there {
			if err := readBeside(path, page[:], at); err != nil {
				return false, err
			}
		}
		if _, err := log.ReadAt(logged[:], l.at); ignoreEnd(err) != nil {
			return false, err
		}
		// The last bytes of a page are the checksum that the file has.
		if !there || !bytes.Equal(page[:pageSize-checksumSize], logged[:pageSize-checksumSize]) {
			if other++; other > 1 {
				return false, nil
			}
		}
	}
	return true, nil
}

// ignoreEnd is for reading what may end anywhere.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// walSums are the two sums of a write-ahead log, over its words in the order of the machine
// that wrote it.
type walSums struct {
	order  binary.ByteOrder
	s1, s2 uint32
}

func (s *walSums) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s.s1 += s.order.Uint32(b) + s.s2
		s.s2 += s.order.Uint32(b[4:]) + s.s1
	}
}

func (s *walSums) are(b []byte) bool {
	return binary.BigEndian.Uint32(b) == s.s1 && binary.BigEndian.Uint32(b[4:]) == s.s2
}
