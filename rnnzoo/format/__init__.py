"""The format of a zoo: columns, manifest, shards, and their verification."""
