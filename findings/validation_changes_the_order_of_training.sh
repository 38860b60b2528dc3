#!/usr/bin/env bash
# Versions: torch 2.13.0 and 2.15.0, numpy 2.4.6; Python 3.11 or newer. This runs 2.13.0.
#
# Data: eight items, two epochs of a shuffling DataLoader after torch.manual_seed(0).
#
# Guess: the order depends on the seed and the epoch. A loader without shuffling draws nothing, and how workers
#   are kept changes nothing.
# Seen: a pass of another loader between the epochs, without shuffling or workers, gives the second epoch another
#   order. So does `persistent_workers=True`. Each pass over any loader draws a number from the global generator.
#   A generator of the loader's own gives one order with and without that pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/orders.py" <<'PYTHON'
import torch
from torch.utils.data import DataLoader


def orders(between=False, own=False, **options):
    """The order of the items in two epochs."""
    generator = torch.Generator().manual_seed(1) if own else None
    loader = DataLoader(range(8), shuffle=True, generator=generator, **options)
    torch.manual_seed(0)
    found = []
    for _ in range(2):
        found.append([int(item) for item in loader])
        if between:
            list(DataLoader(range(3)))
    return found


if __name__ == "__main__":
    print("torch", torch.__version__)
    plain = orders()
    cases = {
        "two workers": orders(num_workers=2),
        "a validation pass between": orders(between=True),
        "two workers, kept": orders(num_workers=2, persistent_workers=True),
    }
    for name, found in cases.items():
        print(f"{name}: epochs as without it: {[a == b for a, b in zip(plain, found)]}")
    own = orders(own=True) == orders(own=True, between=True)
    print("with a generator of its own, a validation pass changes nothing:", own)
    same = [[a == b for a, b in zip(plain, found)] for found in cases.values()]
    assert same == [[True, True], [True, False], [True, False]] and own
PYTHON
OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/orders.py"
echo "as stated"
