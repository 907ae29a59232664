"""Assembles the parts of a sweep, for the command line and for Python."""
