"""Storage of a run: a local folder or a bucket of an object store, and the lock of its driver."""
