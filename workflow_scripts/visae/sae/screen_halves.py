"""The screened product on CUDA: rows are rounded to float16, and products are summed in float32.

Rows are scaled by powers of two, so that nothing overflows, and what underflows is beyond rounding.
Channels in which tokens have most of their norm would make the bound wide. They are split off:
their part of the product is of float32. So are the cuts, which are subtracted with it.

Tensor cores add the exact products of n ≥ 4 entries and what was summed before at once. All are
aligned to the largest and cut off after 24 bits or more, and so is their sum (Fasi et al. 2021,
PeerJ Computer Science 7:e330, of V100, T4 and A100). So n of them lose at most (n + 2) 2⁻²³ of the
largest partial sum, and D of them 1.5 D 2⁻²³ Σ |q_x q_w|. Assumed is σ = 2 D 2⁻²³, which holds of
float32 sums in any order, rounded or cut off, too. `halves_are_faster` checks it on the device.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch

from visae.base.arrays import Float, Int
from visae.sae import screened
from visae.sae.products import product
from visae.sae.screen import WORST, Arithmetic, Features, Rounded, Tokens, rounding_of_sums
from visae.sae.screen_kernels import LARGEST_ENTRY

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")

LARGEST_BITS, SMALLEST_BITS = 14, 40
"""The largest entry of a scaled row is below 2¹⁴, unless it was below 2⁻⁴⁰."""
CUT_OFF = 2.0**-22
"""What a sum loses at most for each of its terms, of the sum of their magnitudes."""
SPLIT_CHANNELS, SPLIT_SHARE = 16, 0.5
"""So many channels are split off where tokens have more than this share of their squared norm
there."""


class Halves(Arithmetic):
    """Float16, of all channels but `split`."""

    def __init__(self, split: Int[torch.Tensor, " _"] | None = None):
        self.split = split

    def rounded(self, rows_nd: Float[torch.Tensor, "n D"]) -> Rounded:
        bounded = rows_nd.abs().amax(dim=1) < float(LARGEST_ENTRY)
        rest_nd = rows_nd.masked_fill(~bounded[:, None], 0)
        scaled_nd = rest_nd
        if self.split is not None:
            rest_nd = rest_nd.index_fill(1, self.split, 0)
        # The exponent's bits of the largest entry: it is below 2 to their number less 126.
        exponent = (rest_nd.abs().amax(dim=1).view(torch.int32) >> 23) - 126
        power = (LARGEST_BITS - exponent).clamp(max=LARGEST_BITS + SMALLEST_BITS)
        inverse = ((power + 127) << 23).view(torch.float32)
        rest_nd, scaled_nd = rest_nd * inverse[:, None], scaled_nd * inverse[:, None]
        half_nd = rest_nd.half()
        norm, lost, kept = (
            torch.linalg.vector_norm(each, dim=1, dtype=torch.float64)
            for each in (scaled_nd, rest_nd - half_nd, half_nd)
        )
        if self.split is not None:  # what the product of float32 may lose
            lost += rounding_of_sums(rows_nd.shape[1]) * norm
        return Rounded(
            half_nd,
            torch.where(bounded, inverse.double(), 0),
            torch.where(bounded, norm, torch.inf),
            torch.where(bounded, lost, torch.inf),
            kept,
        )

    def sum_error(self, width: int) -> float:
        return 1.01 * (width + 16) * CUT_OFF


HALVES = Halves()


def split_tokens(tokens_td: Float[torch.Tensor, "T D"]) -> Tokens:
    """Tokens whose outlying channels, if there are any, are split off."""
    squares_td = tokens_td.square()
    shares_d = (squares_td / squares_td.sum(dim=1, keepdim=True)).nan_to_num(0, 0, 0).mean(dim=0)
    shares, channels = shares_d.topk(min(SPLIT_CHANNELS, len(shares_d)))
    outlying = len(shares) < len(shares_d) and bool(shares.sum() > SPLIT_SHARE)
    return Tokens(Halves(channels) if outlying else HALVES, tokens_td)


class Candidates(NamedTuple):
    """Codes of tokens that can be kept, as compressed sparse rows; those that are not are 0."""

    row_starts: Int[torch.Tensor, " T+1"]
    rows: Int[torch.Tensor, " found"]
    columns: Int[torch.Tensor, " found"]
    """Counted from the first feature that was asked for."""
    codes: Float[torch.Tensor, " found"]
    """NaN is kept."""

    def dense(self, features: int) -> Float[torch.Tensor, "T F"]:
        """All codes."""
        codes_tf = self.codes.new_zeros(len(self.row_starts) - 1, features)
        return codes_tf.index_put_((self.rows, self.columns), self.codes)

    def decoded(self, decoder_fd: Float[torch.Tensor, "F D"]) -> Float[torch.Tensor, "T D"]:
        """Their sums of dictionary rows, each in the order of features."""
        return torch.nn.functional.embedding_bag(
            self.columns,
            decoder_fd,
            self.row_starts,
            mode="sum",
            per_sample_weights=self.codes,
            include_last_offset=True,
        )


class HalfScreen:
    """The codes of some tokens by an encoder, as far as they are kept.

    What a call finds depends on the tokens and the features that it is given alone.
    """

    def __init__(self, tokens: Tokens):
        self._tokens = tokens
        self._split = tokens.arithmetic.split

    def find(self, features: Features, part: slice) -> Candidates | None:
        """The `Candidates` of a part of the features; None where they are many."""
        below_tf = self._product(features, part) < -WORST
        rows, columns = below_tf.logical_not_().nonzero(as_tuple=True)
        if len(rows) > screened.CROWDED * below_tf.numel():
            return None
        starts = torch.nn.functional.pad(below_tf.sum(dim=1).cumsum(0), (1, 0))
        codes = self._computed(starts, columns, features.rows[part])
        codes += features.bias[part][columns]
        codes.masked_fill_((codes < features.lower[part][columns]) | (codes <= 0), 0)
        return Candidates(starts, rows, columns, codes)

    def _product(self, features, part):
        """What the product of rounded rows has above the cut."""
        tokens = self._tokens
        left, right = [-tokens.by_rounded.T], [features.by_rounded[:, part]]
        if self._split is not None:
            # What is float32 is scaled as the others are.
            (inverse_t, *_), (_, inverse_f, *_) = tokens.by_rounded, features.by_rounded[:, part]
            left.append(tokens.rows[:, self._split] * inverse_t[:, None])
            right.append((features.rows[part][:, self._split] * inverse_f[:, None]).T)
        above_tf = product(tokens.rounded, features.rounded[part].T, True)
        return above_tf.addmm_(torch.cat(left, dim=1), torch.cat(right))

    def _computed(self, starts, columns, rows_fd):
        """The products of float32 at some places."""
        if not len(columns):
            return rows_fd.new_zeros(0)
        shape, zeros = (len(starts) - 1, len(rows_fd)), rows_fd.new_zeros(len(columns))
        places = torch.sparse_csr_tensor(starts, columns, zeros, shape, check_invariants=False)
        return torch.sparse.sampled_addmm(places, self._tokens.rows, rows_fd.T, beta=0.0).values()


def sums_hold(device: torch.device) -> bool:
    """Whether the device's products of float16 lose no more than is assumed.

    Of terms of one sign, the first of which is large, all that is cut off adds up.
    """
    generator = torch.Generator().manual_seed(0)
    left_td = 1 + torch.rand(256, 2048, generator=generator)
    left_td[:, 0] = 2.0 ** torch.arange(256).remainder(14)
    left_td, right_fd = left_td.half().to(device), left_td[:64].half().to(device)
    found_tf = product(left_td, right_fd.T, True)
    exact_tf = left_td.double() @ right_fd.T.double()
    return bool(((found_tf - exact_tf).abs() <= HALVES.sum_error(2048) * exact_tf).all())
