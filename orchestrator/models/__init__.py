"""What is differentiated: networks, circuits, hybrids of both, made of layers and stages; and the losses."""
