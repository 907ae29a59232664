"""The training loop of one pack, on any worker: mini-batches, gradients, updates, rows."""
