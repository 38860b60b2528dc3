#!/usr/bin/env bash
# Versions: eai-delphi 0.1.3, eai-sparsify 1.3.3, torch 2.15.0, transformers 5.23.0, numpy 2.4.6; Python 3.11 or newer.
# Delphi's language models (vllm) are not installed: windows are cut without them.
#
# Data: one latent of an SAE that is active once in each of 400 sequences of 128 random tokens, anywhere within them.
#
# Guess: with center_examples=True, the default, the active token has one place in all windows of 32 tokens: "If True, the
#   examples will be centered on the latent activation. Otherwise, windows will be used".
# Seen: it is the other way round. With True the token stands at all 32 places, also the first one, which leaves nothing
#   before it. With False it is at place 24 in every window, and the windows at both ends of a sequence are left out.
#   Nothing is said.
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
tokens = torch.randint(0, 100, (400, 128))
places = torch.stack([torch.arange(400), torch.randint(0, 128, (400,))], dim=1)
strengths = torch.rand(400) + 0.1

print("eai-delphi", version("eai-delphi"), "torch", torch.__version__)
found = {}
for center in (True, False):
    record = LatentRecord(latent=Latent("layer", 0))
    config = ConstructorConfig(center_examples=center, min_examples=10)
    constructor(record, ActivationData(places, strengths), config, tokens, tokenizer)
    active = [example.activations.argmax().item() for example in record.examples]
    found[center] = sorted(set(active))
    print(f"center_examples={center}: {len(active)} windows, active at {found[center]}")
assert ConstructorConfig().center_examples is True
assert found == {True: list(range(32)), False: [24]}
PYTHON
echo "as stated"
