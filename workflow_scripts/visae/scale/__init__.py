"""What a study costs, counted from its config before anything runs.

`images`: how many of them; `files`: the bytes of every large file (docs/formats.md); `work`: bytes
read and FLOPs by stage; `probes`: those of the probes.
"""
