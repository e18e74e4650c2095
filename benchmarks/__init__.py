"""How fast it delivers, beside one task per row: ``python -m benchmarks --help``."""
