"""The paper's claims, each judged by one stated rule on a run's numbers or on the paper's own.

`resources/claims.yaml` holds the claims as data. `evidence` brings a run's tables, or the
published values, into one form; `quantities` are what the rules compute from it; `verdicts`
compares what comes out with what the paper says.
"""
