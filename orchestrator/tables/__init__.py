"""What is recorded: the schema, the statistics, the rows. Knows no run directory and no pyarrow."""
