"""Short captions from a class hierarchy, and the small text encoder that reads them."""

import re

import torch
from torch import nn

from visae.base.errors import UserError

WIDTH = 64
HEADS = 2
PADDING = 0


def caption(record):
    """The words by which a class is called: its parent's, then those that its own name adds.

    `astronaut_row0_column2` below `astronaut` gives `astronaut row0 column2`.

    Raises:
        UserError: a class name without letters and digits.
    """
    words = re.findall(r"[^\W_]+", f"{record.parent} {record.class_name}".lower())
    if not words:
        raise UserError(
            f"The class '{record.class_name}' has no words to be captioned with: contrast between "
            "images and text needs class names."
        )
    return list(dict.fromkeys(words))


def tokenize(captions):
    """Captions (lists of words) as numbers: (int64 [C, L], padded with 0; size of vocabulary)."""
    vocabulary = sorted({word for words in captions for word in words})
    number = {word: 1 + i for i, word in enumerate(vocabulary)}
    tokens = torch.full((len(captions), max(map(len, captions))), PADDING)
    for row, words in zip(tokens, captions, strict=True):
        row[: len(words)] = torch.tensor([number[word] for word in words])
    return tokens, 1 + len(vocabulary)


class TextEncoder(nn.Module):
    """Word and position embeddings, one transformer block, the mean over words, a projection."""

    def __init__(self, vocabulary, length, output_width):
        super().__init__()
        self.words = nn.Embedding(vocabulary, WIDTH, padding_idx=PADDING)
        self.positions = nn.Parameter(torch.randn(length, WIDTH) * 0.02)
        self.block = nn.TransformerEncoderLayer(
            WIDTH,
            HEADS,
            4 * WIDTH,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.leave = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, output_width))

    def forward(self, tokens_cl):
        """Text embeddings [C, output_width] of captions int64 [C, L], not normalised."""
        padding = tokens_cl == PADDING
        read = self.block(self.words(tokens_cl) + self.positions, src_key_padding_mask=padding)
        words = (~padding)[:, :, None]
        return self.leave((read * words).sum(dim=1) / words.sum(dim=1))
