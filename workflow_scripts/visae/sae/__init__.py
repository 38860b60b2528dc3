"""Sparse autoencoders: families, training, checkpoints and inference."""
