"""Softmax attention at initialisation: how it averages tokens, and how fast they become alike."""

from __future__ import annotations

import math


def concentration(*, tokens: int, score_variance: float) -> float:
    """Return E sum_j a_j^2 of softmax weights over `tokens` normal scores: about exp(s^2) / T, at most 1.

    1 / T for equal scores. For many tokens; (E exp 2x) / (E exp x)^2 / T for normal x.

    Raises:
        ValueError: for no token, or a negative variance.
    """
    if tokens < 1 or score_variance < 0.0:
        raise ValueError(f"expected at least one token and a variance of at least 0, got {tokens}, {score_variance}")
    return min(1.0, math.exp(score_variance) / tokens)


def token_cosine(cosine: float, *, tokens: int, score_variance: float) -> float:
    """Return the mean cosine between tokens behind one attention without skip, given the one in front of it.

    Each output is a weighted mean of the values. Its own square keeps (1 - c) sum a^2 + c, and the product with
    another token's (1 - c) / T + c, the weights of two tokens being independent. After a few layers all tokens are
    alike: rank collapse (dong2021).

    Args:
        cosine: mean cosine between the tokens that enter.
        tokens: length of the sequence.
        score_variance: variance of the scores before the softmax; 1 for unit-variance queries and keys over sqrt(d).
    """
    own = (1.0 - cosine) * concentration(tokens=tokens, score_variance=score_variance) + cosine
    other = (1.0 - cosine) / tokens + cosine
    return min(1.0, other / own)


def output_square(cosine: float, *, tokens: int, score_variance: float) -> float:
    """Return the mean square of the attention's output relative to that of the values: averaging shrinks signals."""
    return (1.0 - cosine) * concentration(tokens=tokens, score_variance=score_variance) + cosine


def residual_token_cosine(cosine: float, *, tokens: int, score_variance: float, branch_share: float) -> float:
    """Return the same behind x + branch, whose values are independent of x; `branch_share` is its part of the square.

    With a skip the tokens still converge, more slowly (noci2022).
    """
    behind = token_cosine(cosine, tokens=tokens, score_variance=score_variance)
    return (1.0 - branch_share) * cosine + branch_share * behind
