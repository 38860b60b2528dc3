#!/usr/bin/env bash
# Versions: eai-delphi 0.1.3, eai-sparsify 1.3.3, torch 2.15.0, transformers 5.23.0, numpy 2.4.6; Python 3.11 or newer.
# Delphi's language models (vllm) are not installed: examples are chosen without them.
#
# Data: one latent of an SAE that is active in 600 of 800 windows of 32 random tokens.
#
# Guess: an explanation is written from `record.train` and scored on `record.test`, and no example is in both.
# Seen: with 40 and 50 examples, the defaults, 11 of the 50 are among the 40, where chance would give 3. With 50 and 50
#   the two lists are the same. Both are drawn from all examples, decile by decile, after `random.seed(22)` each.
#   So a score tells in part whether examples are recognised that were shown. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  eai-sparsify==1.3.3 torch==2.15.0 transformers==5.23.0 datasets==5.2.0 schedulefree==1.4.1 numpy==2.4.6 \
  sentence-transformers==6.2.0 faiss-cpu==1.15.1 blobfile==3.3.0 asyncer==0.0.18 orjson==3.13.0 jaxtyping==0.3.11
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps eai-delphi==0.1.3
SPARSIFY_DISABLE_TRITON=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from delphi.config import ConstructorConfig, SamplerConfig
from delphi.latents import Latent, LatentRecord, constructor, sampler
from delphi.latents.latents import ActivationData
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

torch.manual_seed(0)
words = Tokenizer(WordLevel({f"w{number}": number for number in range(100)}, unk_token="w0"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
tokens = torch.randint(0, 100, (400, 64))  # two windows in each
places = torch.stack([torch.arange(600) // 2, torch.arange(600) % 2 * 32 + 5], dim=1)
strengths = torch.rand(600) + 0.1


def chosen(**options):
    """Examples to explain from, and examples to score on, by their places in record.examples."""
    record = LatentRecord(latent=Latent("layer", 0))
    constructor(record, ActivationData(places, strengths), ConstructorConfig(), tokens, tokenizer)
    assert len(record.examples) == 600
    sampler(record, SamplerConfig(**options), tokenizer)
    number = {id(example): place for place, example in enumerate(record.examples)}
    return ([number[id(example)] for example in examples] for examples in (record.train, record.test))


print("eai-delphi", version("eai-delphi"), "torch", torch.__version__)
shared = {}
for train_count in (40, 50):
    train, test = chosen(n_examples_train=train_count)
    shared[train_count] = len(set(train) & set(test))
    print(f"{len(train)} to explain, {len(test)} to score, {shared[train_count]} in both")
    if train_count == 50:
        assert train == test
assert (SamplerConfig().n_examples_train, SamplerConfig().n_examples_test) == (40, 50)
assert shared == {40: 11, 50: 50}
PYTHON
echo "as stated"
