"""SAEs that others wrote, and SAEs written for others.

They lie in folders, or in repositories on the Hugging Face hub, which `hub` fetches.
"""

HUB = "hf://"
"""What an entry of `published` begins with that is a repository and no folder."""


def on_hub(source):
    """Whether an entry of a sweep's `published` is a repository, `hf://owner/name[@revision]`."""
    return source.startswith(HUB)
