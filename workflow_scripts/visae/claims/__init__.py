"""The paper's claims, each judged by one stated rule on a run's numbers or on the paper's own.

`resources/claims.yaml` holds the claims as data. `roles` say who in a run stands for whom in the
paper. `evidence` is what rules read: `numbers` has a run's, `printed` the paper's. `quantities`
are what rules compute from it, `verdicts` compares what comes out with what the paper says, and
`beside` finds the run's number to each printed one.
"""
