"""What the tests read in the paper's printed numbers."""


def rank_order(published, metric, family):
    """The backbones from best to worst in Table 9's ranking of `metric` under `family`."""
    prefix = f"table_9/{metric}/{family}/"
    ranks = {
        key.removeprefix(prefix): entry.value
        for key, entry in published.items()
        if key.startswith(prefix)
    }
    return sorted(ranks, key=ranks.__getitem__)
