"""sae-for-vlm (69e211d): a fork of dictionary-learning that spells its class Matroyshka.

Weights lie below `checkpoints/`, as `ae_STEP.pt`.
"""

from visae.sae.exchange.form import ForeignSae
from visae.sae.exchange.libraries.dictionary_learning.read import matryoshka

_CLASS = "MatroyshkaBatchTopKSAE"


def recognises(folder):
    trainer = folder.config.get("trainer")
    return isinstance(trainer, dict) and trainer.get("dict_class") == _CLASS


def read(folder, reading):
    trainer = folder.config.get("trainer") or {}
    return ForeignSae(
        **matryoshka(folder, trainer, reading),
        features=trainer.get("dict_size"),
        width=trainer.get("activation_dim"),
    )
