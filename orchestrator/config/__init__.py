"""The base of every configuration: families of them, the faults of a wrong one, values as text."""
