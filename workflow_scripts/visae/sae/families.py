"""Family name → the class that trains it. A new family is a class here and a word in `specs`."""

from visae.sae.batchtopk import BatchTopK

TRAINERS = {"batchtopk": BatchTopK}
