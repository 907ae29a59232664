"""What evaluates circuits, each in a folder with its configuration."""
