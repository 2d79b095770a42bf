"""Inputs for a model that comes without data: drawn from the first layer's shape, or as `--input` says."""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import as_batches
from photic.probes import batches as batch_forms
from photic.probes.generators import seeded
from photic.probes.untouched import untouched

ROWS = 32


class InputFailure(Exception):
    """No input could be made up."""


def drawn_inputs(model: nn.Module, shape: str, seed: int) -> tuple[Tensor, str]:
    """Return inputs and a note that says that they were drawn.

    Args:
        shape: `float32[8,3,32,32]` (standard normal) or `tokens[2,128]` (whole numbers below the vocabulary); '' goes by
            the first layer.

    Raises:
        InputFailure: if the text has no such form, or the first layer tells no shape.
    """
    with seeded(seed):
        if shape:
            return _described(model, shape), f"no data was given: inputs were drawn as {shape}"
        for name, module in model.named_modules():
            made = _for_layer(module)
            if made is not None:
                return made[
                    0
                ], f"no data was given: {made[1]} were drawn to fit {name or 'the model'} ({type(module).__name__})"
    raise InputFailure(
        f"{type(model).__name__} came without data and its first layer tells no input shape; return (model, batch) from the "
        'function, or pass --input "float32[32,10]"'
    )


def _described(model: nn.Module, shape: str) -> Tensor:
    match = re.fullmatch(r"\s*(float32|float64|tokens)\s*\[([0-9,\s]+)\]\s*", shape)
    if match is None:
        raise InputFailure(f'--input is "float32[8,3,32,32]", "float64[...]" or "tokens[2,128]"; got {shape!r}')
    sizes = [int(size) for size in match[2].split(",") if size.strip()]
    if match[1] == "tokens":
        words = next((m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)), 2)
        return torch.randint(words, sizes)
    return torch.randn(sizes, dtype=torch.float64 if match[1] == "float64" else torch.float32)


def _for_layer(module: nn.Module) -> tuple[Tensor, str] | None:
    kind = next((p.dtype for p in module.parameters(recurse=False)), torch.float32)
    if isinstance(module, nn.Linear):
        return torch.randn(
            ROWS, module.in_features, dtype=kind
        ), f"{ROWS} standard normal inputs of {module.in_features} numbers"
    if isinstance(module, nn.Conv1d):
        return torch.randn(ROWS, module.in_channels, 64, dtype=kind), f"{ROWS} standard normal sequences"
    if isinstance(module, nn.Conv2d):
        return torch.randn(ROWS, module.in_channels, 32, 32, dtype=kind), f"{ROWS} standard normal images of 32 x 32"
    if isinstance(module, nn.Conv3d):
        return torch.randn(4, module.in_channels, 16, 16, 16, dtype=kind), "4 standard normal volumes of 16 x 16 x 16"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return torch.randint(module.num_embeddings, (ROWS, 16)), f"{ROWS} sequences of 16 random tokens"
    if isinstance(module, nn.RNNBase):
        form = (ROWS, 16) if module.batch_first else (16, ROWS)
        return torch.randn(*form, module.input_size, dtype=kind), f"{ROWS} standard normal sequences of 16 steps"
    if isinstance(module, nn.MultiheadAttention):
        return torch.randn(ROWS, 16, module.embed_dim, dtype=kind), f"{ROWS} standard normal sequences"
    return None


def guessed_loss(model: nn.Module, batches: Any, seed: int) -> tuple[Any, Any, str]:
    """Return a loss and batches with targets that suit the model's output, and a note that says so.

    The output's own `.loss` is taken where there is one (then loss and note are empty); else cross-entropy on
    random labels for scores of several classes, else the mean square of the output.
    """
    first = next(as_batches(batches)())
    inputs, targets = batch_forms.split(first)
    try:
        with torch.no_grad(), untouched(model):
            output = batch_forms.call(model, inputs)
    except Exception:
        return _mean_square, batches, ""  # the audit will show where it fails
    if getattr(output, "loss", None) is not None or (isinstance(output, dict) and output.get("loss") is not None):
        return None, batches, ""
    if isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] > 1:
        if isinstance(targets, Tensor) and not targets.is_floating_point() and targets.shape == output.shape[:1]:
            return F.cross_entropy, batches, "no loss was given: cross-entropy was taken"
        with seeded(seed + 1):
            labels = torch.randint(output.shape[1], (output.shape[0],))
        drawn = [(inputs, labels)] * 2
        return (
            F.cross_entropy,
            drawn,
            f"no loss was given: cross-entropy on random labels of {output.shape[1]} classes was taken",
        )
    return _mean_square, batches, "no loss was given: the mean square of the output was taken"


def _mean_square(output: Any, _: Any) -> Tensor:
    from photic.probes.calls import tensors_in

    parts = [tensor.square().mean() for tensor in tensors_in(output) if tensor.is_floating_point()]
    if not parts:
        raise ValueError(f"the output ({type(output).__name__}) has no floating-point tensor to make a loss of")
    return torch.stack(parts).sum()
