"""A ridge on the diagonal of a matrix that is inverted, factored, or whose determinant is taken."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import non_finite
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
    found = non_finite(graph)
    if found is None or not found.sites:
        return "no operation makes a number that is not finite"
    site = graph.run.site(found.sites[0])
    if site.operation not in _OF_A_MATRIX:
        return f"`{site.operation}` takes no square matrix"
    same = [s.name for s in graph.run.sites if s.operation == site.operation and s.phase == site.phase]
    share = SHARES.get(site.dtype, SHARE)
    return Prescription(
        ridges=dict.fromkeys(same, share), why=f"{site.operation} of a singular matrix: {share:g} on its diagonal"
    )
