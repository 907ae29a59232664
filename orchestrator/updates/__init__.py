"""Clips and optimisers, and chains of them."""
