"""Figures: one module per figure, each a function from tables' rows to a matplotlib `Figure`.

What they show is in a table too; they compute no more than the summaries that they print.
`style` is their common look.
"""
