"""A ridge on the diagonal of a matrix that is inverted, factored, or whose determinant is taken."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

# What is singular where the matrix is.
_OF_A_MATRIX = {
    "logdet", "slogdet", "inverse", "inv", "cholesky", "linalg_cholesky", "linalg_inv", "linalg_slogdet", "linalg_solve", "solve",
    "linalg_eigh", "eigh", "linalg_det", "det",
}  # fmt: skip
SHARES = {"float16": 1e-1, "bfloat16": 1e-1}
SHARE = 1e-3


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=0)
def ridged_matrix(graph: Graph) -> Prescription | str:
    """A thousandth added to the diagonal of the matrix that has no inverse, no factor or no logarithm of its determinant.

    What it changes: every eigenvalue by that much (times the mean of the diagonal where this is above 1): the determinant of fewer
    samples than dimensions is not 0, and the rounding of eigenvalues does not make one negative.

    When not to: where the formula has a ridge of its own, and it is the identity: then add that.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if site.operation not in _OF_A_MATRIX:
        return f"`{site.operation}` takes no square matrix"
    same = calls_like(graph, site)
    share = SHARES.get(site.dtype, SHARE)
    return Prescription(
        ridges=dict.fromkeys(same, share), why=f"{site.operation} of a singular matrix: {share:g} on its diagonal"
    )
