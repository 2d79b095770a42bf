"""Accounts: what a watch could not read, and what it cost, in words."""

from __future__ import annotations

from photic.probes.pace import Pace
from photic.probes.sampling import Sampling


def remarks(sampling: Sampling, *, audits: int) -> list[str]:
    """Return what the reader of a verdict must know of how the steps were read."""
    said: list[str] = []
    if sampling.unreadable:
        said.append(f"nothing more can be read of this model: {sampling.unreadable}")
    elif sampling.compiled:
        said.append(
            "compiled parts run as they are; they are read in an eager pass of the same batch beside the step, whose "
            "rounding and dropout masks may differ from the compiled ones"
        )
    if sampling.too_large:
        said.append(f"steps of more than {sampling.too_large} operations are not audited")
    if sampling.elsewhere and not audits:
        said.append("forward passes run in another thread than the optimizer's steps, where they are not audited")
    return said


def never_stepped(sampling: Sampling) -> str:
    """Return what is said at the end of a watch without a step: '' if there was no training, or the reason is known."""
    audit = sampling.audit
    if audit is None or not audit.heard or sampling.unreadable:
        return ""
    return (
        "photic saw backward passes and no torch optimizer step on the parameters of the model: nothing was watched. What an "
        "engine does with weights of its own (DeepSpeed, Megatron), or a loop without an optimizer, cannot be seen; "
        "`photic.check` takes the bare model"
    )


def cost(pace: Pace, steps: int, audits: int) -> str:
    """Return what watching cost."""
    what = "auditing" if pace.glances_unmeasured else "sampling"
    apart = ", the glances were not measured: no step was without" if pace.glances_unmeasured else ""
    return (
        f"watched {steps} steps, {audits} audited; {what} took {100 * pace.overhead:.2f} % of the time, "
        f"the start-up {pace.start_up_seconds:.2f} s{apart}"
    )
