"""The loop of one pack, wherever it runs: batches, gradients, updates, rows."""
