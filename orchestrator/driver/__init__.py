"""The sweep loop: packs out, chunks in, commits. Its state machines have no I/O and no clock."""
