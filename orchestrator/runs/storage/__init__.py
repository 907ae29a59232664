"""Where a run lies: a local folder or a bucket of an object store, and who holds it."""
