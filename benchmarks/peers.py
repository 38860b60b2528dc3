"""Other libraries' own training of BatchTopK SAEs: one step of each, as its loop takes it.

What monitors a run is left out. Each class is told a `Setting`; `step(x_bd)` trains on a batch, and
`evaluated(x_bd)` gives what its SAE makes of tokens. Libraries without their dependencies are
enough:

    uv pip install --no-deps sae-lens==6.54.12 dictionary-learning==0.1.0 einops==0.8.2 \\
        simple-parsing==0.1.9 docstring-parser==0.18.0

saev's package of 2025 has no BatchTopK. Its repository has (commit 3d73f1f, `src` on PYTHONPATH,
with `tyro` and `orjson`).
"""

import importlib.abc
import importlib.machinery
import sys
from dataclasses import dataclass
from unittest.mock import MagicMock

import torch

LONG = 10**9
"""Steps, or tokens without a code: more than any run has."""


@dataclass(frozen=True)
class Setting:
    """What an SAE is trained with: D, F, K, tokens per batch, steps.

    rate: None is the library's own, which only dictionary-learning has.
    """

    width: int
    features: int
    k: int
    tokens: int
    rate: float | None = 1e-3
    seed: int = 42
    steps: int = LONG
    device: str = "cpu"


class Peer:
    """An SAE of another library in the making."""

    library: str

    def __init__(self, setting):
        self.setting = setting
        torch.manual_seed(setting.seed)
        self._build()

    def _build(self):
        raise NotImplementedError

    def step(self, x_bd):
        raise NotImplementedError

    def evaluated(self, x_bd):
        """(codes before the threshold [B, F], decoder [F, D], its bias)."""
        raise NotImplementedError

    def _optimised(self, model):
        self._model = model
        self._optimizer = torch.optim.Adam(model.parameters(), lr=self.setting.rate)

    def _update(self, loss):
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()


class Overcomplete(Peer):
    """overcomplete's BatchTopKSAE in the body of its `train_sae`, which the paper trained with."""

    library = "overcomplete 0.3.0"

    def _build(self):
        import matplotlib

        # overcomplete 0.3.0 calls a function that newer versions of matplotlib no longer have.
        matplotlib.cm.get_cmap = matplotlib.colormaps.get_cmap
        from overcomplete.sae import BatchTopKSAE

        to = self.setting
        model = BatchTopKSAE(to.width, to.features, top_k=to.k * to.tokens, device=to.device)
        self._optimised(model.train())

    def step(self, x_bd):
        _, _, x_hat = self._model(x_bd)
        self._model.get_dictionary()  # as `train_sae` does for its criterion
        self._update((x_bd - x_hat).square().mean())

    def evaluated(self, x_bd):
        return self._model.encoder(x_bd)[0], self._model.get_dictionary(), 0.0


class DictionaryLearning(Peer):
    """dictionary-learning's BatchTopKTrainer; its own settings but for the learning rate.

    dead: the share of features that have long been idle, for its auxiliary loss.
    """

    library = "dictionary-learning 0.1.0"

    def __init__(self, setting, dead=0.0):
        self._dead = round(dead * setting.features)
        self._number = 0
        super().__init__(setting)

    def _trainer(self, **common):
        from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

        return BatchTopKTrainer(**common)

    def _build(self):
        to = self.setting
        self._made = self._trainer(
            steps=to.steps, activation_dim=to.width, dict_size=to.features, k=to.k,
            layer=0, lm_name="none", seed=to.seed, device=to.device,
            warmup_steps=min(1000, to.steps // 10), lr=to.rate,
        )  # fmt: skip
        if self._dead:
            self._made.ae.encoder.bias.data[: self._dead] -= 1.0

    def step(self, x_bd):
        self._made.num_tokens_since_fired[: self._dead] = LONG
        self._made.update(self._number, x_bd)
        self._number += 1

    def evaluated(self, x_bd):
        sae = self._made.ae
        return sae.encoder(x_bd - sae.b_dec), sae.decoder.weight.T, sae.b_dec


class DictionaryLearningMatryoshka(DictionaryLearning):
    """The same library's Matryoshka trainer with five groups."""

    library = "dictionary-learning 0.1.0, matryoshka"

    def _trainer(self, **common):
        from dictionary_learning.trainers.matryoshka_batch_top_k import (
            MatryoshkaBatchTopKTrainer,
        )

        halves = [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
        return MatryoshkaBatchTopKTrainer(**common, group_fractions=halves)


class SaeLens(Peer):
    """sae-lens' BatchTopKTrainingSAE with Adam, in the order of its trainer."""

    library = "sae-lens 6.54.12"

    def _build(self):
        from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

        to = self.setting
        config = BatchTopKTrainingSAEConfig(
            d_in=to.width, d_sae=to.features, k=to.k, device=to.device
        )
        self._optimised(BatchTopKTrainingSAE(config))
        self._idle = torch.zeros(to.features, device=to.device)

    def step(self, x_bd):
        from sae_lens.saes.sae import TrainStepInput

        output = self._model.training_forward_pass(
            TrainStepInput(
                sae_in=x_bd,
                coefficients={},
                dead_neuron_mask=self._idle > 1000,
                n_training_steps=0,
                is_logging_step=False,
            )
        )
        fired = (output.feature_acts > 0).any(dim=0)
        self._idle = torch.where(fired, 0, self._idle + 1)
        self._update(output.loss)

    def evaluated(self, x_bd):
        sae = self._model
        norms = sae.W_dec.norm(dim=1)
        pre_bf = (x_bd - sae.b_dec * sae.cfg.apply_b_dec_to_input) @ sae.W_enc + sae.b_enc
        return pre_bf * norms, sae.W_dec / norms[:, None], sae.b_dec


class Saev(Peer):
    """saev's BatchTopK with one prefix, in the body of its `train`."""

    library = "saev 3d73f1f"

    def _build(self):
        from saev.nn import modeling, objectives

        to = self.setting
        config = modeling.SparseAutoencoderConfig(
            d_model=to.width, d_sae=to.features, activation=modeling.BatchTopK(top_k=to.k)
        )
        model = modeling.SparseAutoencoder(config).to(to.device).train()
        self._optimised(model)
        self._objective = objectives.get_objective(objectives.Matryoshka(n_prefixes=1)).train()

    def step(self, x_bd):
        self._model.normalize_w_dec()
        loss, _ = self._objective(self._model, x_bd)
        self._optimizer.zero_grad()
        loss.loss.backward()
        self._model.remove_parallel_grads()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()

    def evaluated(self, x_bd):
        sae = self._model
        return sae.encode(x_bd).h_x, sae.W_dec, sae.b_dec


BATCHTOPK = [Overcomplete, DictionaryLearning, SaeLens, Saev]


class _Nothing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules in place of packages that are not installed and that training does not need."""

    NAMES = ("transformer_lens", "nnsight", "wandb", "zstandard", "datasets", "tenacity")

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in self.NAMES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = MagicMock()
        module.__path__ = []
        module.HookPoint = torch.nn.Identity
        module.HookedRootModule = type("Root", (torch.nn.Module,), {"setup": lambda self: None})
        return module

    def exec_module(self, module):
        pass


def install():
    """Let the libraries be imported without the packages that training does not need."""
    sys.meta_path.append(_Nothing())  # the last: what is installed is found before
