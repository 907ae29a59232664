"""Methods to compute the gradient of a shard, one file each, and the sums that they return."""
