"""Published SAEs on the Hugging Face hub: the subfolders that a sweep names, and no others."""

from pathlib import Path

from visae.base.errors import UserError

PREFIX = "hf://"
"""What an entry of `published` begins with that is a repository and no folder."""


def on_hub(source):
    """Whether an entry of a sweep's `published` is a repository, `hf://owner/name[@revision]`."""
    return source.startswith(PREFIX)


def fetch(source, names, folder):
    """Download the subfolders `names` of the repository `source` into `folder`.

    Raises UserError when the repository cannot be read, or lacks one of the subfolders.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = source.removeprefix(PREFIX).partition("@")
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
