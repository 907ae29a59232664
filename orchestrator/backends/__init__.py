"""Backends evaluate circuits. Each has a folder of its own, with its configuration."""
