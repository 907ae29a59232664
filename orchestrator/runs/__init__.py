"""The run directory: its writer and reader, commits, manifest, compaction, digest, control."""
