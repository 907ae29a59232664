"""Tables read from a run: summary per swept key, progress, compute and wait time."""
