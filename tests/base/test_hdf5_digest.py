"""The digest of an HDF5 file is that of what h5py's own objects say of it, in order of name."""

import hashlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.base import hdf5, seals
from visae.base.hdf5_digest import digest_of
from visae.base.seals import CHECKSUMS, LIBVER, SEAL

TYPES = ("f2", "f4", "f8", ">f8", "i8", ">u2", "u1", "?", "S7", "c8", "V3")
TYPE = st.sampled_from([*map(np.dtype, TYPES), np.dtype([("a", "i4"), ("b", "f8", (2,))])])
SHAPE = st.lists(st.integers(0, 5), max_size=3).map(tuple)
NAMES = st.text("abcé_~ ", min_size=1, max_size=6).filter(lambda name: name != SEAL)
VALUES = st.tuples(TYPE, SHAPE, st.integers(0, 2**32 - 1))
MEMBERS = st.dictionaries(NAMES, VALUES, max_size=4)


def drawn(kind, shape, seed):
    random = np.random.default_rng(seed)
    size = int(np.prod(shape, dtype=int)) * kind.itemsize
    data = random.integers(1, 2 if kind.kind == "b" else 127, size, np.uint8).tobytes()
    return np.frombuffer(data, kind).reshape(shape)


def put(file, groups):
    for group, (attributes, members) in groups.items():
        parent = file.require_group(group) if group else file
        for name, said in attributes.items():
            parent.attrs[name] = drawn(*said)
        for name, said in members.items():
            if name not in parent:
                parent.create_dataset(name, data=drawn(*said)).attrs["of"] = np.bytes_(
                    name.encode()
                )


def expected(file, apart=(), skip=()):
    """By h5py's own objects; skip: data sets whose values are left out, since they have sums."""
    digest = hashlib.sha256()

    def value(name, array, kind):
        array = np.asarray(array, kind)
        digest.update(f"{name} {kind.str} {array.shape}\n".encode() + array.tobytes())

    def add(name, item):
        for key in sorted(item.attrs):
            if (name, key) != ("", SEAL):
                value(f"{name}@{key}", item.attrs[key], item.attrs.get_id(key).dtype)
        if isinstance(item, h5py.Group):
            digest.update(f"{name}/\n".encode())
            for child in sorted(item):
                if f"{name}/{child}"[1:] in apart:
                    digest.update(f"{name}/{child} apart\n".encode())
                else:
                    add(f"{name}/{child}", item[child])
        elif name[1:] in skip:
            said = f"{name} {item.dtype.str} {item.shape} {item.chunks} apart\n"
            digest.update(said.encode())
        else:
            value(name, item[()], item.dtype)

    add("", file)
    return digest.hexdigest()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(["", "one", "one/two"]), st.tuples(MEMBERS, MEMBERS)))
def test_the_digest_is_that_of_all_names_types_shapes_and_values(groups):
    with h5py.File("toy.h5", "w", libver=LIBVER, driver="core", backing_store=False) as file:
        put(file, groups)
        before = digest_of(file, (), None)
        assert before == expected(file)
        file.attrs[SEAL] = np.bytes_(b"{}")
        assert digest_of(file, (), None) == before


def test_what_is_checked_otherwise_is_left_out_and_its_checksums_are_not(tmp_path):
    with h5py.File(tmp_path / "toy.h5", "w", libver=LIBVER) as file:
        group = file.create_group("codes")
        group.create_dataset("bits", data=np.arange(40.0).reshape(10, 4), chunks=(5, 4))
        group[f"bits{CHECKSUMS}"] = np.arange(2, dtype=np.uint32)
        file["activations"], file["bits"] = np.zeros(3), np.ones(3)
        said = digest_of(file, ("activations",), None)
        assert said == expected(file, ("activations",), ("codes/bits",))
        group["bits"][0] = 7
        file["activations"][0] = 7
        assert digest_of(file, ("activations",), None) == said
        for changed in (group[f"bits{CHECKSUMS}"], file["bits"]):
            changed[0] = 7
            assert digest_of(file, ("activations",), None) != said
            said = digest_of(file, ("activations",), None)


@pytest.mark.parametrize("attribute", [True, False])
@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("text", h5py.string_dtype(), "variable length"),
        (np.array([("text",)], [("a", h5py.string_dtype())]), None, "variable length"),
        (h5py.Empty("f8"), None, "no values"),
    ],
)
def test_what_no_format_has_is_refused_unread(tmp_path, attribute, value, kind, said):
    path = tmp_path / "toy.h5"
    with h5py.File(path, "w", libver=LIBVER) as file:
        if attribute:
            file.attrs.create("x", value, dtype=kind)
        else:
            file.create_dataset("x", data=value, dtype=kind)
        with pytest.raises(ValueError, match=said):
            digest_of(file, (), None)
        read = (hdf5.attributes, file) if attribute else (hdf5.array, file, "x")
        with pytest.raises(ValueError, match=said):
            read[0](*read[1:])


def test_attributes_and_arrays_are_as_h5py_gives_them(tmp_path):
    with h5py.File(tmp_path / "toy.h5", "w", libver=LIBVER) as file:
        for number, kind in enumerate(map(np.dtype, TYPES)):
            for shape in ((), (3,), (0, 2)):
                name = f"{number}{shape}"
                file.attrs[name] = file[name] = drawn(kind, shape, number)
        hdf5.write_strings(file, "ids", ["a", "ü"])
        found = hdf5.attributes(file)
        assert list(found) == sorted(file.attrs)
        for name, value in file.attrs.items():
            assert type(found[name]) is type(value)
            np.testing.assert_array_equal(found[name], value)
        for name, data in file.items():
            array = hdf5.array(file, name)
            assert (array.dtype, array.shape) == (data.dtype, data.shape)
            np.testing.assert_array_equal(array, data[()])
        assert hdf5.strings(file, "ids") == ["a", "ü"]
        file.create_group("group")
        for name in ("group", "absent"):
            with pytest.raises(KeyError):
                hdf5.array(file, name)


def test_more_values_than_a_file_has_bytes_are_not_asked_for(tmp_path):
    path = tmp_path / "toy.h5"
    with h5py.File(path, "w", libver=LIBVER) as file:
        file.create_dataset("x", (10**12,), "f8")
        file.attrs[SEAL] = np.bytes_(b"{}")
    with h5py.File(path) as file, pytest.raises(ValueError, match="larger than the file"):
        seals._of_hdf5(file, (), path.stat().st_size)
