"""The verdict in one sentence."""

from __future__ import annotations

from photic.records.findings import Checkup


def verdict(checkup: Checkup) -> str:
    """Return what a checkup says, in one sentence: `vanishing-gradient: the gradient reaches 2 of 11 layers`.

    Healthy is said of a network whose layers all hear the loss; another without findings has just no finding.
    """
    profile = checkup.diagnosis.profile
    reach = profile.reach if profile is not None else "no layer could be profiled"
    if checkup.run.stopped:
        return f"stopped: {checkup.run.stopped}"
    if checkup.healthy and any(finding.problem == "stalled-training" for finding in checkup.findings):
        return f"nothing found, but the loss does not fall: {reach}"
    if checkup.healthy:
        whole = profile is None or profile.reached == len(profile.layers)
        return f"{'healthy' if whole else 'no finding'}: {reach}"
    return f"{checkup.findings[0].problem}: {reach}"
