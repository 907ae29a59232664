"""The base of all configurations, families of them, explained faults, and values as text."""
