"""Where work runs: this process, Ray actors, Ray jobs. Knows nothing of gradients."""
