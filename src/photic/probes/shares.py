"""Shares: how a softmax divides, whether called by name or inside the fused attention."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call
from photic.records.runs import ShareFacts

ROWS, HEADS = 1_024, 4
CERTAIN = 0.999
_NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")


def share_facts(call: Call, axis: object) -> ShareFacts | None:
    """Return what the softmax of a call does; None for a call without one, or over fewer than two keys."""
    given = call.args[0] if call.args else None
    if not isinstance(given, Tensor) or not given.is_floating_point() or given.ndim < 2 or given.numel() == 0:
        return None
    if call.operation == "softmax":
        dim = axis if isinstance(axis, int) else -1
        rows = given.detach().movedim(dim, -1)
        return _facts(rows.reshape(-1, rows.shape[-1]))
    if call.operation == "scaled_dot_product_attention":
        return _of_attention(call)
    return None


def _of_attention(call: Call) -> ShareFacts | None:
    named: dict[str, Any] = {**dict(zip(_NAMES, call.args, strict=False)), **call.kwargs}
    query, key, mask = named["query"].detach(), named["key"].detach(), named.get("attn_mask")
    scale = named.get("scale") or 1.0 / math.sqrt(query.shape[-1])
    if query.ndim != 4 or key.shape[:2] != query.shape[:2]:  # grouped heads: not sampled
        return None
    logits = query[:HEADS, :HEADS].float() @ key[:HEADS, :HEADS].float().transpose(-1, -2) * scale
    if isinstance(mask, Tensor):
        wide = mask.detach().broadcast_to(*query.shape[:3], key.shape[2])[:HEADS, :HEADS]
        logits = logits.masked_fill(~wide, -math.inf) if wide.dtype == torch.bool else logits + wide
    if named.get("is_causal"):
        seen = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        logits = logits.masked_fill(~seen, -math.inf)
    return _facts(logits.reshape(-1, logits.shape[-1]))


def _facts(logits: Tensor) -> ShareFacts | None:
    """Return the facts of rows of logits; masked keys (infinite, or as low as the type goes) do not count."""
    rows = logits[:: max(1, logits.shape[0] // ROWS)].to(torch.float64)
    seen = torch.isfinite(rows) & (rows > torch.finfo(torch.float32).min / 4)
    counts = seen.sum(-1)
    rows, seen, counts = rows[counts > 1], seen[counts > 1], counts[counts > 1]
    if rows.shape[0] == 0:
        return None
    shares = torch.softmax(rows.masked_fill(~seen, -math.inf), -1)
    entropy = torch.special.entr(shares).sum(-1) / counts.log()
    held = rows.masked_fill(~seen, 0.0)
    means = held.sum(-1, keepdim=True) / counts.unsqueeze(-1)
    squares = ((held - means).square() * seen).sum() / seen.sum()
    return ShareFacts(
        keys=logits.shape[-1],
        entropy=float(entropy.mean()),
        certain=float((shares.amax(-1) > CERTAIN).double().mean()),
        deviation=float(squares.sqrt()),
    )
