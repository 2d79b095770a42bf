"""Inputs for models of transformers: what the configuration says that the model reads."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from photic.cli.inputs import InputFailure
from photic.probes.generators import seeded

ROWS, TOKENS = 4, 16


def configured_inputs(model: Any, seed: int) -> tuple[dict[str, Tensor], str]:
    """Return a batch as the model's configuration asks for it, with labels where the model makes a loss of them.

    Raises:
        InputFailure: if its main input is neither tokens nor images.
    """
    config, name = model.config, str(model.main_input_name)
    text = getattr(config, "get_text_config", lambda: config)()
    with seeded(seed):
        if name == "input_ids":
            words = int(text.vocab_size)
            most = int(getattr(text, "max_position_embeddings", TOKENS) or TOKENS)
            given = {"input_ids": torch.randint(words, (ROWS, min(TOKENS, most)))}
            note = f"{ROWS} sequences of {given['input_ids'].shape[1]} random tokens below {words}"
        elif name == "pixel_values":
            size = getattr(config, "image_size", 224)
            height, width = (size, size) if isinstance(size, int) else tuple(size)
            given = {"pixel_values": torch.randn(ROWS, int(getattr(config, "num_channels", 3)), height, width)}
            note = f"{ROWS} standard normal images of {height} x {width}"
        else:
            raise InputFailure(
                f"{type(model).__name__} reads {name}; pass --input FILE.py:NAME with a function that returns a batch"
            )
        labels = _labels(model, given)
        if labels is not None:
            given["labels"] = labels
    return given, f"no data was given: {note} were drawn as the configuration says"


def _labels(model: Any, given: dict[str, Tensor]) -> Tensor | None:
    if "labels" not in inspect.signature(model.forward).parameters:
        return None
    kind = type(model).__name__
    if "input_ids" in given and not kind.endswith(("SequenceClassification", "TokenClassification")):
        return given["input_ids"].clone()
    classes = int(model.config.num_labels)
    shape = given["input_ids"].shape if kind.endswith("TokenClassification") else (ROWS,)
    return torch.randint(classes, tuple(shape))
