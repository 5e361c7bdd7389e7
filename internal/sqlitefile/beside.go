package sqlitefile

import (
	"fmt"
	"path/filepath"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// readBeside reads bytes of a database file as SQLite does, past what it has written into its
// log. On Unix a process that closes a file gives up its locks of that file, whichever of its
// descriptors took them: to open a database by itself, beside a connection of the same
// process, would let other processes take the connection for gone, and remove its log. SQLite
// keeps a descriptor open as long as the process has locks.
func readBeside(path string, b []byte, offset int64) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	tls := libc.NewTLS()
	defer tls.Close()
	vfs := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if vfs == 0 {
		return fmt.Errorf("SQLite has no files")
	}
	// A name ends with an empty parameter.
	name, err := libc.CString(abs + "\x00\x00\x00")
	if err != nil {
		return err
	}
	defer libc.Xfree(tls, name)
	file := libc.Xcalloc(tls, 1, libc.Tsize_t(at[sqlite3.Tsqlite3_vfs](vfs).FszOsFile))
	buffer := libc.Xcalloc(tls, 1, libc.Tsize_t(len(b)))
	defer libc.Xfree(tls, file)
	defer libc.Xfree(tls, buffer)
	if file == 0 || buffer == 0 {
		return fmt.Errorf("%s: no memory", path)
	}
	const flags = sqlite3.SQLITE_OPEN_READONLY | sqlite3.SQLITE_OPEN_MAIN_DB
	rc := function[openFunc](at[sqlite3.Tsqlite3_vfs](vfs).FxOpen)(tls, vfs, name, file, flags, 0)
	methods := at[sqlite3.Tsqlite3_file](file).FpMethods
	if rc == sqlite3.SQLITE_OK {
		rc = function[ioFunc](at[sqlite3.Tsqlite3_io_methods](methods).FxRead)(tls, file, buffer, int32(len(b)), offset)
		copy(b, unsafe.Slice(at[byte](buffer), len(b)))
	}
	if methods != 0 {
		function[closeFunc](at[sqlite3.Tsqlite3_io_methods](methods).FxClose)(tls, file)
	}
	if rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("%s: SQLite cannot read %d bytes at %d: error %d", path, len(b), offset, rc)
	}
	return nil
}

type closeFunc = func(tls *libc.TLS, file uintptr) int32
