"""A compiled simulator of whole batches of circuits."""
