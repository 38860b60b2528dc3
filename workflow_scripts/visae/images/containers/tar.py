"""Members of a tar archive, found by their offset."""


def size(inside):
    """Bytes of the member."""
    return int(inside.part)


def content(inside):
    """The member's bytes; OSError where the archive is shorter."""
    wanted = int(inside.part)
    with open(inside.file, "rb") as archive:
        archive.seek(inside.number)
        found = archive.read(wanted)
    if len(found) < wanted:
        raise OSError(f"{inside.file} ends before byte {inside.number + wanted}")
    return found
