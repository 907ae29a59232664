"""The compiled simulator of whole batches."""
