"""The names of what is measured. Rules and products read it: nothing heavy here."""

CARD_FORMAT = "visae-interventions-card-1"
"""Of the facts that the report shows (`visae.audit.cards`)."""

CLASSIFICATION, SEGMENTATION = "classification", "segmentation"
PATCHES = "patches"

HEADS = {"class_token": CLASSIFICATION, "pooled_patches": CLASSIFICATION, PATCHES: SEGMENTATION}
"""Head → the kind of task that it does."""

HEAD_LABELS = {
    "class_token": "class token",
    "pooled_patches": "pooled patches",
    PATCHES: "single patches",
}

FEATURE, RANDOM, OTHER, MEAN = "feature", "random_direction", "random_feature", "mean_direction"
EDITS = {
    FEATURE: "feature",
    RANDOM: "random direction",
    OTHER: "random live feature",
    MEAN: "class mean direction",
}
"""Edit → its name: the feature that tells a class, two controls, a baseline without an SAE."""
