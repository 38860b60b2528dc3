"""Tables: what a run's scores come to, each as CSV for programs and Markdown and LaTeX for people.

`layout` is the one table structure and its three views; `scores` the tidy table of all scores;
`paper` the tables of the paper; `published` the numbers that the paper prints.
"""
