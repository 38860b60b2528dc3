"""Family name → the class that trains it. A new family is a class here and a word in `specs`."""

from visae.sae.batchtopk import BatchTopK
from visae.sae.jumprelu import JumpReLU
from visae.sae.relu import ReLU
from visae.sae.topk import TopK

TRAINERS = {"batchtopk": BatchTopK, "topk": TopK, "jumprelu": JumpReLU, "relu": ReLU}
