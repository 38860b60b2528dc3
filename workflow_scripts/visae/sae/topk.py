"""TopK (Gao et al. 2024): the K largest codes of each token are kept."""

import numpy as np

from visae.sae.sparse import collect_codes
from visae.sae.trainer import Trainer
