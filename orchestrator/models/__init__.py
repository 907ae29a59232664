"""Models (networks, circuits and hybrids of both, built from layers and stages) and loss functions."""
