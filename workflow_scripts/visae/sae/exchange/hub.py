"""Published SAEs on the Hugging Face hub: the subfolders that a sweep names, and no others."""

from pathlib import Path

from visae.base.errors import UserError
from visae.sae.exchange import HUB


def fetch(source, names, folder):
    """Download the subfolders `names` of the repository `source` into `folder`.

    Raises UserError when the repository cannot be read, or lacks one of the subfolders.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = source.removeprefix(HUB).partition("@")
    try:
        huggingface_hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=[f"{name}/*" for name in names],
            local_dir=folder,
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(
            f"{source} cannot be fetched ({error}): check its name, your access and the network, "
            "or put the SAEs into a folder and name that in the sweep's published"
        ) from error
    missing = [name for name in names if not (Path(folder) / name).is_dir()]
    if missing:
        raise UserError(
            f"{source} has no {missing[0]}: take it out of the sweep's grid or name the repository "
            "that has it"
        )
