"""Dissection: what the moments of a whole batch do not tell, per example, per token, and of the Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

from photic.records.pictures import Shown


@dataclass(frozen=True, slots=True)
class SiteDissection:
    """One site, seen example by example. Numbers that cannot be had are None.

    Attributes:
        site: its name.
        examples: length of the first axis.
        mean_share: share of the mean square that is the mean over the batch, unit by unit: what does not depend on
            the example at all.
        effective_rank: (sum of the eigenvalues)^2 / (sum of their squares) of the signal's second moments, over at
            most 512 rows; 1 when all rows point the same way.
        rank_limit: the largest value that `effective_rank` could have here.
        token_cosine: mean cosine between different tokens of the same example, for signals [B, T, F]; 1 when
            attention has made them alike.
        gradient_median: median over examples of the norm of an example's gradient.
        gradient_spread: 95 % over 5 % quantile of these norms; infinite where some are 0.
        gradient_zeros: share of examples whose gradient is 0.
        gradient_cosine: mean cosine between the gradients of different examples.
    """

    site: str
    examples: int
    mean_share: float | None
    effective_rank: float | None
    rank_limit: int
    token_cosine: float | None
    gradient_median: float | None
    gradient_spread: float | None
    gradient_zeros: float | None
    gradient_cosine: float | None


@dataclass(frozen=True, slots=True)
class Jacobian:
    """Singular values of the derivative of the output by the input, of the batch as one map (examples apart).

    Attributes:
        mean_square: mean of the squared singular values over the smaller of the two dimensions, with its standard error.
        error: standard error of `mean_square`, from the random directions.
        largest: the largest singular values, descending; empty when forward derivatives do not exist.
        inputs, outputs: dimensions.
        why_not: '' or why `largest` is empty.
    """

    mean_square: float
    error: float
    largest: tuple[float, ...]
    inputs: int
    outputs: int
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Dissection(Shown):
    """What `photic.dissect` returns.

    Attributes:
        sites: the sites of the model that keep the batch as first axis.
        jacobian: None for inputs that have no derivative (tokens).
        shattering: correlation of the input gradients of neighbouring inputs, on lines between pairs of examples:
            entry k is at a distance of k steps of 1/32 of the line; empty for tokens. Near 0 at 1: white noise.
        not_asked: what could not be measured, and why.
    """

    sites: tuple[SiteDissection, ...]
    jacobian: Jacobian | None
    shattering: tuple[float, ...]
    not_asked: tuple[str, ...] = ()
