"""One SAE of a finished study: codes of any image, and what the study knows of its features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas
import scipy.sparse
import scipy.sparse.linalg
import torch
from PIL import Image

from visae.activations.opening import open_cache
from visae.activations.pictures import picture_activations
from visae.audit.matching import match
from visae.audit.patch_maps import patch_maps
from visae.audit.queries import rows_of, strongest
from visae.audit.sides import common_images
from visae.base.errors import UserError
from visae.base.paths import WEIGHTS
from visae.encoding.reductions import SaeReductions
from visae.images.decoding import load_image
from visae.sae.checkpoint import load_sae

if TYPE_CHECKING:
    from visae.interface.study import OpenStudy

Picture = str | Path | Image.Image | np.ndarray
"""A file, a PIL image, or an array uint8 [h, w, 3]."""


class Exemplar(NamedTuple):
    """An image on which a feature is active."""

    image_id: str
    path: Path
    label: int
    code: float
    """Its largest code on the image's patches, in normalised units."""
    map: np.ndarray
    """Its code on every patch: float32 [H, W]."""


class OpenSae:
    """An SAE with the backbone and block whose activations it was trained on.

    Attributes: `name` (`{backbone}/layer{layer}/{name}`), `model` (`SparseAutoencoder`), `spec`,
    `config` (its `config.yaml`), `layer`, `features` (F), `width` (D), `grid` (H, W).
    """

    def __init__(self, study: OpenStudy, name: str):
        self.study, self.name = study, name
        backbone, layer, sae = name.split("/")
        self.place = f"{backbone}/{layer}"
        self.folder_name, self.backbone_name = sae, backbone
        self.layer = int(layer.removeprefix("layer"))
        self._saved = load_sae(Path(study.paths.sae(sae, WEIGHTS, self.place)).parent)
        self.model, self.config = self._saved.model, self._saved.config
        self.features, self.width = self.model.features, self.model.width
        self.grid = tuple(self.config["data"]["grid"])

    def __repr__(self):
        return f"<SAE {self.name}: {self.features} features of width {self.width}>"

    @property
    def spec(self):
        """Its `SaeSpec`."""
        return self._saved.spec

    # ---------------------------------------------------------------- images → codes

    def activations(self, images: Picture | Iterable[Picture]) -> torch.Tensor:
        """Patch activations of the block, float32 [n, P, D], rounded as a cache rounds them.

        images: one or several, of any size; they are resized and cropped as the study's are.
        Raises UserError for an unreadable image, or a backbone whose patches are permuted.
        """
        backbone = self.study.backbone(self.backbone_name)
        if backbone.spec.token_order != "raster":
            raise UserError(
                f"the backbone {self.backbone_name} orders patches by the id of an image in the "
                "study: use an SAE of a backbone in raster order"
            )
        pictures = [_picture(image) for image in _several(images)]
        return picture_activations(backbone, self.layer, pictures)

    @torch.inference_mode()
    def encode(self, images: Picture | Iterable[Picture]) -> torch.Tensor:
        """Codes of every patch, float32 [n, P, F], in normalised units (paper: section 3.2)."""
        return self.model.encode(self.model.normalise(self.activations(images)))

    @torch.inference_mode()
    def reconstruct(self, images: Picture | Iterable[Picture]) -> torch.Tensor:
        """Reconstructed activations, float32 [n, P, D], in the units of `activations`."""
        activations = self.activations(images)
        codes = self.model.encode(self.model.normalise(activations))
        return self.model.denormalise(self.model.decode(codes), activations)

    def top_features(self, image: Picture, number: int = 10) -> pandas.DataFrame:
        """The features with the largest codes on an image, the largest first.

        Columns: `feature`, `code` (the largest magnitude, in normalised units), `patches` (on how
        many it is active). Fewer rows where fewer features are active.
        """
        codes_pf = self.encode(image)[0]
        largest_f, active_f = codes_pf.abs().amax(dim=0), (codes_pf != 0).sum(dim=0)
        order = torch.argsort(largest_f, descending=True, stable=True)[:number]
        order = order[largest_f[order] > 0]
        return pandas.DataFrame(
            {
                "feature": order.numpy(),
                "code": largest_f[order].numpy(),
                "patches": active_f[order].numpy(),
            }
        )

    @torch.inference_mode()
    def features_of_patches(
        self, image: Picture, patches: Iterable[tuple[int, int]], number: int = 10
    ) -> pandas.DataFrame:
        """The features that come out of some patches of an image, the strongest first.

        Codes of the patches are added up (Stevens et al., Figure 2). patches: (row, column) in the
        grid, from 0; of any backbone in raster order. Columns: `feature`, `sum` (normalised units),
        `patches` (on how many of them it is active). Fewer rows where fewer features are active.

        Raises UserError for a patch outside the grid and for an unreadable image.
        """
        rows = rows_of(patches, self.grid)
        backbone = self.study.backbone(self.backbone_name)
        tokens = picture_activations(backbone, self.layer, [_picture(image)])[0, rows]
        codes_pf = self.model.encode(self.model.normalise(tokens)).numpy()
        total_f = codes_pf.sum(axis=0)
        order = strongest(total_f, number)
        return pandas.DataFrame(
            {"feature": order, "sum": total_f[order], "patches": (codes_pf != 0).sum(axis=0)[order]}
        )

    # ---------------------------------------------------------------- what the study computed

    def pooled_codes(self, split: str | None = None) -> scipy.sparse.csr_array:
        """Max-pooled codes of a split as they lie on disk: float32 [N, F], a row per image.

        split: one of the study's `splits`, its evaluation split by default.
        """
        with self._reductions(split) as reductions:
            blocks = [
                scipy.sparse.csr_array(reductions.codes[start : start + 1024].astype(np.float32))
                for start in range(0, reductions.features, 1024)
            ]
        return scipy.sparse.vstack(blocks).T.tocsr()

    @torch.inference_mode()
    def patch_codes(self, split: str | None = None) -> scipy.sparse.csr_array:
        """Codes of every patch of a cached split: float32 [N·P, F], image by image."""
        with self._cache(split) as cache:
            blocks = []
            for number in range(len(cache.chunks)):
                tokens = torch.from_numpy(cache.read_chunk(number)).flatten(0, 1)
                codes = self.model.encode(self.model.normalise(tokens))
                blocks.append(scipy.sparse.csr_array(codes.numpy()))
        return scipy.sparse.csr_array(scipy.sparse.vstack(blocks))

    def exemplars(self, feature: int, number: int = 8, split: str | None = None) -> list[Exemplar]:
        """The images of a split on which a feature's code is largest, with where it is active.

        At most the 16 that the study keeps per feature, and none on which it is silent. Only the
        chunks of the cache that hold these images are read.

        Raises UserError where there is no such feature, or the split has no cache.
        """
        self._check_feature(feature)
        with self._reductions(split) as reductions, self._cache(split) as cache:
            codes = reductions.largest.codes[feature, :number]
            images = reductions.largest.images[feature, :number][codes > 0]
            if not len(images):
                return []
            maps = patch_maps(self.model, {feature: images}, cache)[feature]
            found = zip(images, codes[codes > 0], maps, strict=True)
            split = split or self.study.splits[0]
            records = {record.image_id: record for record in self.study.index(split).images}
            root = self.study.root(split)
            return [
                Exemplar(
                    image_id=(record := records[cache.image_ids[image]]).image_id,
                    path=root / record.path,
                    label=int(cache.labels[image]),
                    code=float(code),
                    map=map_hw,
                )
                for image, code, map_hw in found
            ]

    @torch.inference_mode()
    def similar_images(
        self, image: Picture, number: int = 8, split: str | None = None
    ) -> pandas.DataFrame:
        """The images of a split that an image is most like, by its features: no label is read.

        Columns: `image_id`, `path`, `cosine` (of max-pooled codes), the most similar first; of
        equal ones the first of the split. An image of the split is most similar to itself.
        """
        # Of codes that may be negative the pooled ones are magnitudes.
        codes_f = self.encode(image)[0].abs().amax(dim=0).double().numpy()
        pooled_nf = self.pooled_codes(split).astype(np.float64)
        lengths_n = scipy.sparse.linalg.norm(pooled_nf, axis=1) * np.linalg.norm(codes_f)
        products_n = pooled_nf @ codes_f
        cosine_n = np.divide(
            products_n, lengths_n, out=np.zeros_like(products_n), where=lengths_n > 0
        )
        order = np.argsort(-cosine_n, kind="stable")[:number]
        split = self._split(split)
        with self._reductions(split) as reductions:
            ids = [reductions.image_ids[image] for image in order]
        records = {record.image_id: record for record in self.study.index(split).images}
        root = self.study.root(split)
        return pandas.DataFrame(
            {
                "image_id": ids,
                "path": [root / records[image_id].path for image_id in ids],
                "cosine": cosine_n[order],
            }
        )

    def nearest(self, other: OpenSae, features: Sequence[int] | None = None) -> pandas.DataFrame:
        """For each feature, the one of another SAE of the same block with the nearest decoder row.

        Columns: `feature`, `nearest`, `cosine`. features: all by default.
        Raises UserError where the SAEs' decoders are of other activations.
        """
        if (self.place, self.width) != (other.place, other.width):
            raise UserError(
                f"decoder rows of {self.name} and {other.name} are directions in different "
                "activations: compare SAEs of one backbone and block"
            )
        chosen = np.arange(self.features) if features is None else np.asarray(features)
        for feature in chosen:
            self._check_feature(feature)
        cosine = _unit(self.model.decoder_weight[chosen]) @ _unit(other.model.decoder_weight).T
        value, index = cosine.max(dim=1)
        return pandas.DataFrame(
            {"feature": chosen, "nearest": index.numpy(), "cosine": value.numpy()}
        )

    def matches(
        self,
        other: OpenSae,
        split: str | None = None,
        shuffles: int = 3,
        quantile: float = 0.95,
        seed: int = 0,
    ) -> pandas.DataFrame:
        """The features of another SAE, of this study or of another, that match (docs/matches.md).

        Each is the other's best by the correlation of pooled codes over the images of a split, by
        their ids, that both studies have. Columns: `feature`, `match`, `correlation`, `threshold`
        (what shuffled images reach), `above`; the strongest first.

        Raises UserError where the SAEs have fewer than two images in common, or are the same.
        """
        folders = {each.study.folder.resolve() for each in (self, other)}
        if len(folders) == 1 and self.name == other.name:
            raise UserError(f"{self.name} is compared with itself: name another SAE")
        with self._reductions(split) as own, other._reductions(split) as of_other:
            names = self.name, other.name
            left, right = common_images(own.image_ids, of_other.image_ids, names)
        codes = self.pooled_codes(split)[left], other.pooled_codes(split)[right]
        found = match(*codes, shuffles, quantile, seed)
        table = pandas.DataFrame(
            {
                "feature": found.pairs[:, 0],
                "match": found.pairs[:, 1],
                "correlation": found.strength,
                "threshold": found.threshold,
                "above": found.above,
            }
        )
        order = table.sort_values("correlation", ascending=False, kind="stable")
        return order.reset_index(drop=True)

    # ---------------------------------------------------------------- files

    def _reductions(self, split):
        return SaeReductions(
            self.study.paths.reductions(self.folder_name, self._split(split), self.place)
        )

    def _cache(self, split):
        name = self._split(split)
        path = Path(self.study.paths.cache(name, self.place))
        if not path.exists():
            raise UserError(
                f"{path} is not there, since {name} is streamed or its cache was removed: ask for "
                f"`encode` of its images instead, or ask Snakemake for that file"
            )
        return open_cache(path)

    def _split(self, split):
        known = self.study.splits
        if split is not None and split not in known:
            raise UserError(f"no SAE encodes the split '{split}': choose one of {', '.join(known)}")
        return split or known[0]

    def _check_feature(self, feature):
        if not 0 <= feature < self.features:
            raise UserError(
                f"{self.name} has no feature {feature}: its {self.features} features are numbered "
                f"0 to {self.features - 1}"
            )


def _several(images):
    return [images] if isinstance(images, str | Path | Image.Image | np.ndarray) else list(images)


def _picture(image):
    if isinstance(image, str | Path):
        return load_image(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                f"an image is an array of {image.dtype} and shape {list(image.shape)}: give uint8 "
                "of shape [height, width, 3]"
            )
        return Image.fromarray(image)
    return image.convert("RGB")


def _unit(rows):
    return torch.nn.functional.normalize(rows, dim=1)
