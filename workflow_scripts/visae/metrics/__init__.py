"""The seven metrics: each module turns reductions into a `visae.scores.Score`."""
