"""Tables: what a run's scores come to, as data (CSV, JSON) and for people (Markdown, LaTeX).

`layout` is the one table structure and its four views; `scores` and `downstream` are the tidy
tables, from which the others start; `statistics` what several of them compute; `published` the
numbers that the paper prints. Which tables a study has, `visae.products` says.
"""
