"""Downstream tasks: what the metrics are held against (paper sections 4.5 and 5, Appendix O).

Each task is done with a backbone's raw features, with an SAE's reconstructions and with its
codes: `retrieval`, `segmentation` and `classification`. `results` is the document that a task
leaves behind.
"""
