"""Assert that the gradient reaches every layer of a network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn

from photic.diagnosis.diagnose import diagnose
from photic.probes.audit import measure
from photic.records.profiles import Profile
from photic.theory.network import predict_run

MOST_LAYERS = 24  # lines of the failure text; half of them from either end


def assert_gradients_flow(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    *,
    ignore: Collection[str] = (),
) -> None:
    """Fail with places, reasons and advice if an audit of the network finds a problem.

    One forward and backward pass is made; the model is left as it was.

    Args:
        model, batch, loss: as for `photic.measure`.
        ignore: problems that may be there.

    Raises:
        AssertionError: if there is a finding of `warning` or worse, or the forward pass raised.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test, not this one
    run = measure(model, batch, loss)
    if run.stopped:
        raise AssertionError(f"the network could not be run: {run.stopped}")
    diagnosis = diagnose(run, predict_run(run), ignore=ignore)
    if diagnosis.healthy:
        return
    reach = diagnosis.profile.reach if diagnosis.profile is not None else "no layer could be profiled"
    lines = [reach]
    for finding in diagnosis.findings:
        if finding.severity != "info":
            place = f" ({finding.where})" if finding.where else ""
            lines += [
                f"{finding.problem} at {', '.join(finding.sites[:4]) or 'no layer'}{place}",
                f"  {finding.reason}",
            ]
            lines.append(f"  do: {finding.advice}")
    if diagnosis.profile is not None:
        lines += ["gradient at each layer, relative to the last:", *_layers(diagnosis.profile)]
    raise AssertionError("\n".join(lines))


def _layers(profile: Profile) -> list[str]:
    width = max((len(line.site) for line in profile.layers), default=0)
    shown = [
        f"  {line.site:<{width}}  {'none arrived' if line.transport is None else f'{line.transport:.2e}'}"
        f"{'' if line.reached else '  not reached'}"
        for line in profile.layers
    ]
    left_out = len(shown) - MOST_LAYERS
    return (
        shown if left_out <= 0 else [*shown[: MOST_LAYERS // 2], f"  ... {left_out} more", *shown[-MOST_LAYERS // 2 :]]
    )
