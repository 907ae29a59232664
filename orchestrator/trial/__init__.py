"""One resolved trial and its id, and a structure made ready to be computed."""
