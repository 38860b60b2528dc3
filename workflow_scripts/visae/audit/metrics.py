"""The metrics that have a value for single features. Rules read it: nothing heavy here."""

METRICS = {"localization": ("M1", "moran"), "monosemanticity": ("M5", "monosemanticity")}
"""Metric → its short name, the array of its results that holds the values."""
