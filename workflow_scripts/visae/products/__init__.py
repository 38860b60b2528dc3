"""Tables and figures: one file or folder for each, with its inputs, its settings and its making.

An entry is a module with `ENTRY`, a `Product`, and `make(inputs, settings)`, which returns a
`tables.layout.Table` or a matplotlib figure; or a folder with the first in `entry.py` and the
second in `make.py`, where all else is that only this product needs. What several products compute
is in `tables`, the common look of figures in `figures`. Figures read the tables that they draw.
"""

from visae.base.shelf import Shelf

PRODUCTS = Shelf("visae.products", "product")
