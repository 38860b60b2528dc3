"""Interventions: features are edited inside of the network, and heads say what follows.

In the way of Stevens et al., "Interpretable and Testable Vision Features via Sparse Autoencoders":
a block's output x becomes x + s · (decode(edited codes) − decode(codes)), so that what the SAE does
not reconstruct stays. The blocks that are left run, and linear heads answer. Every edit is held
against others of equal size, which know less.
"""
