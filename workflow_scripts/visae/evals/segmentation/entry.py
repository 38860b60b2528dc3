"""Semantic segmentation with a linear head on single patches."""

from visae.evals.entry import RAW, SAES, TASK, Eval, Needs

ENTRY = Eval(
    kind=TASK,
    number=2,
    label="Segmentation",
    paper="section 4.5 (H1), Appendix O",
    definition=(
        "mIoU of a linear head on single patches, trained on the training split: mean over classes "
        "of intersection over union, from one confusion matrix over all labelled test patches"
    ),
    data="segmentation",
    of={
        RAW: Needs(reads=("patches", "statistics"), gpu=True, megabytes=16000),
        SAES: Needs(reads=("patches", "weights"), gpu=True, megabytes=32000, minutes=480),
    },
    settings={
        "dataset": {"description": "Data set with masks", "type": "string"},
        "train": {"description": "Split the heads are fitted on", "type": "string"},
        "test": {"description": "Split they are scored on", "type": "string"},
        "head": {
            "description": "How a head is fitted, by Adam with a step size that falls to 0",
            "type": "object",
            "additionalProperties": False,
            "default": {},
            "properties": {
                "epochs": {
                    "description": "Passes over the training patches",
                    "type": "integer",
                    "minimum": 1,
                    "default": 10,
                },
                "batch": {
                    "description": "Patches per step",
                    "type": "integer",
                    "minimum": 1,
                    "default": 2048,
                },
                "learning_rate": {
                    "description": "First step size",
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "default": 0.01,
                },
                "weight_decay": {
                    "description": "Weight decay (L2)",
                    "type": "number",
                    "minimum": 0,
                    "default": 0.0001,
                },
            },
        },
    },
)
