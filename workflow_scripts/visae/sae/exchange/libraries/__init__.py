"""Libraries whose checkpoints can be read: a shelf with one module each."""
