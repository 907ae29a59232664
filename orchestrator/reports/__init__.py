"""What is read from a run: tables by swept key, how far it is, where the time went."""
