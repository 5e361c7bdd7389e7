package sqlitefile

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tuflog/tuflog/internal/durable"
)

// This file is about SQLite files whose pages have checksums: the last 8 bytes of each
// page are those of SQLite's own checksum extension (cksumvfs), which leaves its pages to
// anybody who wants to verify them. SQLite by itself believes what a page says: a bit that
// has flipped in an index makes a row that is there one that is not found. Here a page
// with a wrong checksum is an error wherever one is read, for which Damaged is true.
//
// The checksums are made and verified between SQLite and the operating system's files, by
// an SQLite VFS that is the default one but for reading and writing database files. The
// write-ahead log has checksums of its own, which SQLite verifies when it opens one that a
// process has left behind.

const (
	pageSize     = 4096
	checksumSize = 8
)

// Where the header of a file has what is of interest here: its size in a page, which ends
// with the free bytes, and the version of the schema.
const (
	reservedAt = 20
	versionAt  = 60
)

// CreateChecked makes a file of which each page has a checksum, as Create does.
func CreateChecked(path string, perm fs.FileMode, version int, schema string, pragmas ...string) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if err := durable.WriteFile(path, emptyPage(), perm); err != nil {
		return err
	}
	return CompleteChecked(path, version, schema, pragmas...)
}

// CompleteChecked ends what a CreateChecked began that was killed: it does nothing to a
// file that has a schema.
func CompleteChecked(path string, version int, schema string, pragmas ...string) error {
	if info, err := os.Stat(path); err != nil || info.Size() != pageSize {
		return err
	}
	return change(path, 0, version, schema, nil, pragmas, checksumVFS)
}

// OpenChecked is Open for a file that CreateChecked has made.
func OpenChecked(path string, version int, pragmas ...string) (*sql.DB, error) {
	if err := checkedVersion(path, version); err != nil {
		return nil, err
	}
	return open(path, version, pragmas, checksumVFS, forWriting)
}

// ReadChecked is OpenChecked for reading alone, beside a process that writes.
func ReadChecked(path string, version int, pragmas ...string) (*sql.DB, error) {
	if err := checkedVersion(path, version); err != nil {
		return nil, err
	}
	return open(path, version, pragmas, checksumVFS, forReading)
}

// ReadStill is ReadChecked for a file that nobody writes and beside which there is no
// write-ahead log: it makes no file there and takes no lock. Where somebody writes it
// nevertheless, what is read is of no use.
func ReadStill(path string, version int, pragmas ...string) (*sql.DB, error) {
	if err := checkedVersion(path, version); err != nil {
		return nil, err
	}
	return open(path, version, pragmas, checksumVFS, forReadingStill)
}

// UpgradeChecked is Upgrade for a file that CreateChecked has made.
func UpgradeChecked(path string, from, to int, schema string, pragmas ...string) error {
	if info, err := os.Stat(path); err != nil || info.Size() < pageSize {
		return err
	}
	var page [pageSize]byte
	if err := readBeside(path, page[:], 0); err != nil {
		return err
	}
	if !verifies(page[:]) {
		return nil // opening it says what is wrong
	}
	return change(path, from, to, schema, nil, pragmas, checksumVFS)
}

// checkedVersion tells a file of a version without checksums from a damaged one.
func checkedVersion(path string, version int) error {
	var page [pageSize]byte
	info, err := os.Stat(path)
	if err == nil && info.Size() < pageSize {
		err = fmt.Errorf("%s: %w: %d bytes", path, errShort, info.Size()) // to SQLite an empty file is a database
	}
	if err == nil {
		err = readBeside(path, page[:], 0)
	}
	if err != nil {
		return err
	}
	if verifies(page[:]) || page[reservedAt] != 0 {
		return nil // SQLite says what is wrong
	}
	if have := int(binary.BigEndian.Uint32(page[versionAt:])); have != version {
		return otherVersion(have, version)
	}
	return nil
}

// emptyPage returns a database without tables: a header, and an empty leaf of the tree of
// the schema.
func emptyPage() []byte {
	p := make([]byte, pageSize)
	copy(p, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(p[16:], pageSize)
	p[18], p[19] = 1, 1 // formats for writing and reading: with a rollback journal
	p[reservedAt] = checksumSize
	p[21], p[22], p[23] = 64, 32, 32              // fractions of payload: fixed
	binary.BigEndian.PutUint32(p[24:], 1)         // change counter
	binary.BigEndian.PutUint32(p[28:], 1)         // pages
	binary.BigEndian.PutUint32(p[44:], 4)         // format of the schema
	binary.BigEndian.PutUint32(p[56:], 1)         // UTF-8
	binary.BigEndian.PutUint32(p[92:], 1)         // the change counter for which the next is valid
	binary.BigEndian.PutUint32(p[96:], 3_000_000) // the version of SQLite that wrote it
	p[100] = 13                                   // a leaf of a table
	binary.BigEndian.PutUint16(p[105:], pageSize-checksumSize)
	sum := checksum(p)
	copy(p[pageSize-checksumSize:], sum[:])
	return p
}

// checksum returns what the last bytes of a page are to be: cksumvfs's sums over its
// 32-bit words. Of a page of zeros, such as in a hole of a file, they are zeros.
func checksum(page []byte) (sum [checksumSize]byte) {
	var s1, s2 uint32
	for p := page[:len(page)-checksumSize]; len(p) >= 8; p = p[8:] {
		s1 += binary.LittleEndian.Uint32(p) + s2
		s2 += binary.LittleEndian.Uint32(p[4:]) + s1
	}
	binary.LittleEndian.PutUint32(sum[:], s1)
	binary.LittleEndian.PutUint32(sum[4:], s2)
	return sum
}

func verifies(page []byte) bool {
	sum := checksum(page)
	return bytes.Equal(sum[:], page[len(page)-checksumSize:])
}

// The VFS. SQLite is C that was translated to Go: its pointers are uintptrs to memory
// that is not Go's, and its functions' first argument is a thread's storage.
type (
	openFunc = func(tls *libc.TLS, vfs, path, file uintptr, flags int32, outFlags uintptr) int32
	ioFunc   = func(tls *libc.TLS, file, buffer uintptr, amount int32, offset int64) int32

	featuresFunc = func(tls *libc.TLS, file uintptr) int32
)

// checkedMethods are the methods of files of a kind. SQLite has a pointer to the first
// field.
type checkedMethods struct {
	methods     sqlite3.Tsqlite3_io_methods
	read, write uintptr // the default VFS's
	features    uintptr
}

// errShort says that a file is less than a page.
var errShort = errors.New("not a database")

const vfsName = "checksum"

var vfs struct {
	sync.Mutex
	plain uintptr             // the default one
	files map[uintptr]uintptr // checkedMethods by the methods that they replace
}

// checksumVFS returns the name of the VFS, which is registered once.
var checksumVFS = sync.OnceValues(func() (string, error) {
	tls := libc.NewTLS()
	defer tls.Close()
	name, err := libc.CString(vfsName)
	if err != nil {
		return "", err
	}
	vfs.plain = sqlite3.Xsqlite3_vfs_find(tls, 0)
	if vfs.plain == 0 {
		return "", errors.New("SQLite has no files")
	}
	vfs.files = map[uintptr]uintptr{}
	checked := allocate(tls, *at[sqlite3.Tsqlite3_vfs](vfs.plain))
	if checked == 0 {
		return "", errors.New("SQLite has no memory")
	}
	v := at[sqlite3.Tsqlite3_vfs](checked)
	v.FpNext, v.FzName, v.FxOpen = 0, name, pointer(openFunc(openChecked))
	if rc := sqlite3.Xsqlite3_vfs_register(tls, checked, 0); rc != sqlite3.SQLITE_OK {
		return "", fmt.Errorf("SQLite refuses the VFS: %d", rc)
	}
	return vfsName, nil
})

// allocate puts a value into memory of SQLite's, for good; 0: there is none.
func allocate[T any](tls *libc.TLS, value T) uintptr {
	p := sqlite3.Xsqlite3_malloc(tls, int32(unsafe.Sizeof(value)))
	if p != 0 {
		*at[T](p) = value
	}
	return p
}

// at is what a pointer of SQLite's points to.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// pointer is a function as SQLite has it, and function[F] what it calls.
func pointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

func openChecked(tls *libc.TLS, _, path, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := function[openFunc](at[sqlite3.Tsqlite3_vfs](vfs.plain).FxOpen)(tls, vfs.plain, path, file, flags, outFlags)
	if rc != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_MAIN_DB == 0 {
		return rc
	}
	f := at[sqlite3.Tsqlite3_file](file)
	vfs.Lock()
	defer vfs.Unlock()
	if vfs.files[f.FpMethods] == 0 {
		m := checkedMethods{methods: *at[sqlite3.Tsqlite3_io_methods](f.FpMethods)}
		m.read, m.write, m.features = m.methods.FxRead, m.methods.FxWrite, m.methods.FxDeviceCharacteristics
		// Version 3 has mapped memory, which is read without asking anybody.
		m.methods.FiVersion = min(m.methods.FiVersion, 2)
		m.methods.FxRead, m.methods.FxWrite = pointer(ioFunc(readChecked)), pointer(ioFunc(writeChecked))
		m.methods.FxDeviceCharacteristics = pointer(featuresFunc(featuresChecked))
		kept := allocate(tls, m)
		if kept == 0 {
			return sqlite3.SQLITE_NOMEM // SQLite closes it: it has methods
		}
		vfs.files[f.FpMethods] = kept
	}
	f.FpMethods = vfs.files[f.FpMethods]
	return rc
}

func methodsOf(file uintptr) *checkedMethods {
	return at[checkedMethods](at[sqlite3.Tsqlite3_file](file).FpMethods)
}

// readChecked reads pages, and parts of the first, which SQLite asks for before it knows
// how large a page is and reads again with the rest.
func readChecked(tls *libc.TLS, file, buffer uintptr, amount int32, offset int64) int32 {
	rc := function[ioFunc](methodsOf(file).read)(tls, file, buffer, amount, offset)
	if rc != sqlite3.SQLITE_OK || amount < 512 {
		return rc
	}
	if amount != pageSize || !verifies(at[[pageSize]byte](buffer)[:]) {
		return sqlite3.SQLITE_IOERR_DATA
	}
	return rc
}

// featuresChecked is what SQLite may do with such a file: not read parts of pages.
func featuresChecked(tls *libc.TLS, file uintptr) int32 {
	return function[featuresFunc](methodsOf(file).features)(tls, file) &^ sqlite3.SQLITE_IOCAP_SUBPAGE_READ
}

// writeChecked puts the checksum where SQLite has left room for it.
func writeChecked(tls *libc.TLS, file, buffer uintptr, amount int32, offset int64) int32 {
	if amount != pageSize {
		return sqlite3.SQLITE_IOERR_WRITE
	}
	page := at[[pageSize]byte](buffer)[:]
	sum := checksum(page)
	copy(page[pageSize-checksumSize:], sum[:])
	return function[ioFunc](methodsOf(file).write)(tls, file, buffer, amount, offset)
}
