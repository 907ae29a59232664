"""The tables of a run: schema, statistics and rows. Independent of the run directory and of pyarrow."""
