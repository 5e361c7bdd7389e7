package sqlite

// CreateBlobsV1 makes blobs as the first version of the schema had them.
func CreateBlobsV1(path string) error {
	return create(path, "FULL", 1, `CREATE TABLE blobs (sum BLOB NOT NULL UNIQUE, data BLOB NOT NULL)`)
}
