"""The fixed words of the records: kinds of operation, severities, problems, roles."""

from typing import Literal

Severity = Literal["info", "warning", "critical"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

# What an operation does to a signal; decides how diagnosis and theory read it.
Kind = Literal[
    "weight",  # a matrix of parameters: linear, convolution, recurrent layer, embedding
    "activation",  # element by element and non-linear
    "normalisation",
    "sum",  # several signals added: a residual sum
    "shape",  # moves or selects values and computes nothing: view, transpose, slice, cat
    "pooling",
    "dropout",
    "attention",
    "loss",
    "other",
]

# Whether the operation ran inside the model's forward or afterwards, in the loss.
Phase = Literal["model", "loss"]

# What a remedy changes.
Change = Literal["training", "weights", "function"]

PROBLEMS: tuple[str, ...] = (
    "vanishing-gradient",
    "exploding-gradient",
    "saturated-activation",
    "dead-units",
    "gradient-underflow",
    "severed-gradient",
    "non-finite",
    "frozen-by-epsilon",
    "idle-layer",
    "rank-collapse",
    "shattered-gradient",
    "useless-clipping",
    "loss-saturation",
    "unscaled-input",
    "stalled-training",
    "vanishing-in-time",
    "exploding-in-time",
    "saturated-gates",
    "saturated-attention",
    "dying-output",
    "unscaled-target",
    "weights-too-small",
    "weights-too-large",
    "missing-normalisation",
    "post-norm-without-warmup",
    "zero-times-zero",
    "unowned-parameters",
    "severed-unregistered-module",
    "severed-nondifferentiable",
    "rounding-frozen",
    "zero-epsilon",
    "never-zeroed-gradients",
    "learning-rate-too-large",
    "diverging",
    "learning-rate-too-small",
    "class-prior-only",
    "foreign-parameters",
    "frozen-layers",
    "broadcast-target",
    "cleared-gradients",
    "mixed-examples",
    "sorted-batches",
)
