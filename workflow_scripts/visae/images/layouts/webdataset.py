"""WebDataset: tars of samples, an image and a label as members of one name, read in place.

Members are one sample where their names are alike up to the first dot: `000/17.jpg`, `000/17.cls`.
The label is the text of a member, or a value in a JSON member. A number names a line of
`classes.txt` in the root, where that lies there.
"""

import tarfile

from visae.base.errors import UserError
from visae.base.progress import counted
from visae.base.reading import lines_of, parse_json
from visae.images.containers import Inside, member_path
from visae.images.containers.tar import content
from visae.images.index import UNLABELLED, ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import by_number, number_classes
from visae.images.layouts.shards import complete, expanded, of_split, visible
from visae.images.layouts.texts import read_text, whole

SOURCE = "https://github.com/webdataset/webdataset, by its ShardWriter"

ENTRY = Layout(
    label="WebDataset",
    description="Tars of samples: an image beside a member or a JSON value with its label.",
    source=SOURCE,
    splits=None,  # each data set has its own
    counted=False,
    lists=("classes.txt",),
    options={
        "shards": "split → pattern of its tars below the root, such as `train-{000..146}.tar`",
        "image": "the members that are images, such as `jpg`, where a sample has several",
        "label": "the member with the label, `cls`, or a key of one in JSON, `json.label`",
    },
)

_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_LABELS = ("cls", "json.label")  # what is looked for, where the config names none
_LISTED = "classes.txt"


def read(root, split, shards=None, image=None, label=None):
    """Image and class records of `split`; image ids are a tar and the name of a sample in it."""
    names = lines_of(read_text(root / _LISTED)) if (root / _LISTED).is_file() else None
    found = [
        (sample, path, _name(_label(tar, sample, members, label), names, tar, sample))
        for tar, sample, path, members in _listed(root, split, shards, image)
    ]
    if names:
        classes = [name.strip() for name in names]
    else:
        classes = _sorted({name for *_, name in found if name is not None})
    number: dict[str | None, int] = {name: position for position, name in enumerate(classes)}
    number[None] = UNLABELLED
    return [
        ImageRecord(sample, path, number[name], name or "") for sample, path, name in found
    ], number_classes(classes)


def read_images(root, split, shards=None, image=None, label=None):
    """Image records of `split` without classes; no member need hold them."""
    listed = _listed(root, split, shards, image)
    return [ImageRecord(sample, path, UNLABELLED, "") for _, sample, path, _ in listed], []


def _listed(root, split, shards, image):
    """(tar, image id, path, members of the sample) of all samples of a split."""
    tars = _tars(root, split, shards or {})
    for tar in counted(tars, f"tars of {split} listed", len(tars)):
        file = tar.relative_to(root)
        for key, members in _samples(tar).items():
            path = member_path(file.as_posix(), *_image(tar, key, members, image))
            yield tar, f"{file.with_suffix('').as_posix()}/{key}", path, members


# ---------------------------------------------------------------- which tars


def _tars(root, split, shards):
    """The tars of a split: as its pattern says, or those that are named by it."""
    if not isinstance(shards, dict):
        raise UserError(
            f"The option `shards` of {root} is {shards!r}, but it gives each split a pattern: "
            f"write `shards: {{{split}: …}}`."
        )
    if split in shards:
        return _matching(root, split, shards[split])
    tars = visible(root, "*.tar")
    found = of_split(tars, root, split)
    if found:
        return complete(found, split, SOURCE)
    others = [file for file in visible(root, "*") if file.name.endswith(_COMPRESSED)]
    if tars:
        told = f"; the first of its {len(tars)} tars is {tars[0].relative_to(root)}"
    elif others:
        told = f", but {others[0].relative_to(root)}, which is to be uncompressed first"
    else:
        told = ""
    raise UserError(
        f"{root} has no tars of the split '{split}'{told}: name a split as tars or folders are, "
        f"or its tars by `options: {{shards: {{{split}: …}}}}` ({SOURCE})."
    )


def _matching(root, split, patterns):
    found = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for name in expanded(pattern):
            if (root / name).is_dir():
                name = f"{name.rstrip('/')}/*.tar"
            matching = sorted(root.glob(name))
            if not matching:
                raise UserError(
                    f"{root / name} is none of the tars that there are, but the shards of the "
                    f"split '{split}' name it: get it from where the others are from, or correct "
                    "`options.shards`."
                )
            found += matching
    return list(dict.fromkeys(found))


# ---------------------------------------------------------------- what is in a tar


def _samples(tar):
    """Name → {suffix: (offset, bytes)} of the samples in a tar, in their order."""
    samples = {}
    for name, offset, size in _members(tar):
        folder, slash, base = name.rpartition("/")
        stem, dot, suffix = base.partition(".")
        if not stem or not dot or (stem.startswith("__") and stem.endswith("__")):
            continue  # hidden, not named as one of a sample, or about the tar
        members = samples.setdefault(folder.removeprefix("./") + slash + stem, {})
        if members.setdefault(suffix.lower(), (offset, size)) != (offset, size):
            raise UserError(
                f"{tar} holds two members {name}: write the tar again, with each of them once."
            )
    return samples


def _members(tar):
    """(name, offset, bytes) of the files in a tar, by its headers only."""
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in counted(archive, f"members of {tar.name} read"):
                vars(archive)["members"].clear()  # which it would keep, a kilobyte each
                if member.issym() or member.islnk() or member.issparse():
                    raise UserError(
                        f"{tar} holds {member.name} as a link, or without its zeros, which cannot "
                        "be read in place: write the tar again with plain files."
                    )
                if member.isreg():
                    yield member.name, member.offset_data, member.size
            _check_end(tar, archive)
    except (tarfile.TarError, OSError, EOFError) as error:
        with open(tar, "rb") as file:
            packed = file.read(2) in (b"\x1f\x8b", b"BZ", b"\xfd7", b"(\xb5")
        cure = (
            "uncompress it, since members are read by their place"
            if packed
            else f"get it again from {SOURCE}"
        )
        raise UserError(f"{tar} is no whole tar ({error}): {cure}.") from error


def _check_end(tar, archive):
    """Behind the last member stand zeros, or the tar was cut, damaged, or joined with another."""
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.count(0) != len(block):
        raise tarfile.ReadError(f"it ends, or is damaged, at byte {archive.offset}")
    for rest in iter(lambda: archive.fileobj.read(2**20), b""):
        if rest.count(0) != len(rest):
            raise tarfile.ReadError("other content, such as a second tar, is behind its end")


def _image(tar, key, members, wanted):
    """(offset, bytes) of a sample's image."""
    from visae.images.decoding import is_named_as_image  # loads Pillow

    if wanted:
        found = [suffix for suffix in wanted.lower().split(";") if suffix in members][:1]
    else:
        found = [suffix for suffix in members if is_named_as_image(f"x.{suffix}")]
    if len(found) != 1:
        has = (
            f"{len(found)} images" if len(found) > 1 else f"no image{f' ({wanted})' * bool(wanted)}"
        )
        dotted = all("." in suffix for suffix in members)
        names = ", without dots in a sample's name, which ends at its first dot" * dotted
        raise UserError(
            f"The sample {key} of {tar} has {has}, but {', '.join(members)}: name the member that "
            f"is the image, by `options: {{image: jpg}}`, or write the tar again{names}."
        )
    return members[found[0]]


def _label(tar, sample, members, wanted):
    """The label of a sample as text, None where it has none.

    wanted: the member or the key that is named; else `.cls` or `label` in JSON.
    """

    def refused(what):
        return UserError(
            f"The sample {sample} of {tar} {what}: name the member with the label, by "
            "`options: {label: cls}`, or a key of one in JSON, by `options: {label: json.label}`."
        )

    for name in [wanted] if wanted else _LABELS:
        suffix, *keys = (name,) if name in members else name.split(".")
        if suffix not in members:
            continue
        try:
            text = content(Inside(str(tar), "tar", *members[suffix])).decode()
            value = _under(keys, parse_json(text)) if keys else text.strip()
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise refused(f"has no {name} that can be read ({error!r})") from error
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise refused(f"has {value!r} as {name}, which is no number or name of a class")
        return whole(value) if isinstance(value, str) else str(value)
    if wanted:
        raise refused(f"has no {wanted}, but {', '.join(members)}")
    return None


def _under(keys, value):
    """What a JSON value holds under some keys, one inside of the other."""
    for key in keys:
        value = value[key]
    return value


def _name(value, names, tar, sample):
    """The name of a class: a line of the list by its number, or what the label says."""
    if not names or value is None or value in names:
        return value
    if not value.isdigit() or int(value) >= len(names):
        raise UserError(
            f"The sample {sample} of {tar} has the label {value}, which is none of the "
            f"{len(names)} classes in {_LISTED}: correct the list, or choose a split with labels."
        )
    return names[int(value)].strip()


def _sorted(names):
    numbers = all(name.lstrip("-").isdigit() for name in names)
    return sorted(names, key=by_number if numbers else None)
