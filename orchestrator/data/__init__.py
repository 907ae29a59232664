"""Data sources (bundled, generated, files), and how rows are split and scaled."""
