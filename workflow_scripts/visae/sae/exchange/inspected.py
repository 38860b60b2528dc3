"""Which libraries wrote the published SAEs that were read, and whether those are still the same.

Which these are shows when folders are read, and is then written down. Rules ask what is written, so
that a new library, or a change of another one, reads no folder again.
"""

from visae.base.errors import UserError
from visae.base.fingerprints import of_bytes, of_entry
from visae.base.seals import read_document, write_document
from visae.sae.exchange.libraries import LIBRARIES

FORMAT = "visae-inspected-1"


def libraries_code(path):
    """Hash of the libraries for the job that writes `path`: another one where it has to run again.

    It is that of all libraries at the time of the reading, and stays so as long as those that were
    found are what they were. A file that is damaged is written again.
    """
    now = of_bytes(*(of_entry(LIBRARIES, name).encode() for name in LIBRARIES))
    try:
        written = read_document(path, FORMAT)
    except UserError:
        return now
    used = {sae["library"]: sae["code"] for sae in written["saes"].values()}
    same = all(
        name in LIBRARIES and of_entry(LIBRARIES, name) == code for name, code in used.items()
    )
    return written["libraries"] if same else now


def write_inspected(path, code, found):
    """Write what was read, {SAE: see `foreign.inspect`}, beside the `libraries_code` of then."""
    write_document(path, FORMAT, {"libraries": code, "saes": found})
