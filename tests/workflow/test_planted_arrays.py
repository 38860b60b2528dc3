"""Arrays that no kernel may see are refused when a file is opened, behind a seal that is valid.

Files are written by the library, and one array of each is replaced before it is sealed again.
"""

import h5py
import numpy as np
import pytest
from fuzz_kinds import KINDS

from visae.base import hdf5, seals
from visae.base.errors import UserError
from visae.base.seals import CHECKSUMS

BY_NAME = {kind.name: kind for kind in KINDS}


def planted(path, name, change):
    """Replace the array `name` by `change` of it (None: take it away), and seal the file."""
    form = seals.recorded(path)["kind"]
    if path.suffix == ".npz":
        arrays = seals.read_npz(path, form)
        seals.write_npz(path, form, changed(arrays, name, change))
        return
    with h5py.File(path, "r+") as file:
        data = hdf5.dataset(file, name)
        array, chunks = data[()], data.chunks
        del file[name]
        if change is not None:
            new = change(array)
            inside = chunks and tuple(map(min, chunks, new.shape))
            file.create_dataset(name, data=new, chunks=inside)
        elif chunks:
            del file[f"{name}{CHECKSUMS}"]
        seals.seal_hdf5(file, path, form)


def changed(arrays, name, change):
    without = {key: array for key, array in arrays.items() if key != name}
    return without if change is None else without | {name: change(arrays[name])}


def first(value):
    """A function of an array: a copy whose first value is `value`."""

    def change(array):
        new = np.array(array)
        new.reshape(-1)[0] = value
        return new

    return change


FAULTS = (
    *(("reductions", name, first(value)) for name, value in (
        ("top_images", 10**6), ("top_images", -1), ("top_codes", np.nan), ("firing_count", -1),
        ("codes_least", np.inf), ("squared_error", np.nan), ("moran_sum", np.inf),
        ("moran_images", -1), ("labels", -2))),
    ("reductions", "top_images", lambda a: a[:, :-1]),
    ("reductions", "top_codes", lambda a: a.astype(np.float64)),
    ("reductions", "firing_count", lambda a: a[:-1]),
    ("reductions", "moran_images", lambda a: a[:2]),
    ("reductions", "labels", lambda a: a[:-1]),
    ("reductions", "codes_least", None),
    ("reductions", "codes_max", lambda a: a[:-1]),
    ("reductions", "codes_max", lambda a: a[:, :-1]),
    ("reductions", "codes_max", lambda a: a.astype(np.float32)),
    ("reductions", "reconstructions_max", lambda a: a[:-1]),
    *(("raw reductions", name, first(value)) for name, value in (
        ("token_mean", np.nan), ("total_squares", np.inf), ("moran_images", -1))),
    ("raw reductions", "token_mean", lambda a: a[:-1]),
    ("raw reductions", "features_max", lambda a: a[:, :-1]),
    ("raw reductions", "embeddings", None),
    *(("rankings", name, first(-1)) for name in (
        "per_class", "classes", "global", "siblings", "sibling_tasks", "global_all_images")),
    ("rankings", "global", lambda a: a[:-1]),
    ("rankings", "per_class", lambda a: a[:-1]),
    ("rankings", "sibling_tasks", lambda a: a[:, :1]),
    ("rankings", "siblings", lambda a: a.astype(np.float32)),
    ("rankings", "siblings_all_images", None),
    ("probe", "coef", first(np.nan)),
    ("probe", "intercept", first(np.inf)),
    ("probe", "intercept", lambda a: a[:-1]),
    ("probe", "classes", lambda a: a[:-1]),
    ("probe", "coef", lambda a: a.T),
    ("probe", "converged", None),
    ("examples", "high/maps", first(np.nan)),
    ("examples", "high/maps", lambda a: a[:1]),
    ("examples", "low/images", lambda a: a[:, :4]),
    ("examples", "low/images", lambda a: a.astype(np.float32)),
    ("examples", "low/image_ids", lambda a: a[:1]),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "change"), FAULTS)
def test_an_array_that_no_kernel_may_see_is_refused(tmp_path, kind, name, change):
    path = BY_NAME[kind].make(tmp_path)
    planted(path, name, lambda array: array)
    BY_NAME[kind].read(path)  # to be sealed anew is no reason
    planted(path, name, change)
    with pytest.raises(UserError, match=rf"{path.name} is damaged or not .*: remove it and run"):
        BY_NAME[kind].read(path)
