"""One resolved trial with its id, and the data, model and engine of a structure."""
