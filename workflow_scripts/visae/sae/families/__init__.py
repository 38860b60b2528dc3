"""Family name → the class that trains it. A new family is a class here and a word in `specs`."""

from visae.sae.families.batchtopk.trainer import BatchTopK
from visae.sae.families.jumprelu.trainer import JumpReLU
from visae.sae.families.relu.trainer import ReLU
from visae.sae.families.topk.trainer import TopK

TRAINERS = {"batchtopk": BatchTopK, "topk": TopK, "jumprelu": JumpReLU, "relu": ReLU}
