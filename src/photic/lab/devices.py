"""Devices: where the lab trains; data and initial values are drawn on the CPU and moved, so they are the same on each."""

from __future__ import annotations

import torch


def device(name: str) -> torch.device:
    """Return the device of that name, where torch can compute on it here.

    Raises:
        ValueError: if it cannot; the message says what was given, what is there, and what to do.
    """
    found = there()
    try:
        asked = torch.device(name)
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch says it in any of these
        raise ValueError(
            f"torch {torch.__version__} cannot compute on the device {name!r} here; it can on: {', '.join(found)}. Name one of "
            "those, or install a build of torch for your accelerator (pytorch.org/get-started) and its driver"
        ) from error
    if asked.type == "meta":
        raise ValueError(
            f"expected a device that computes, got {name!r}, which holds no numbers; there are: {', '.join(found)}"
        )
    return asked


def there() -> list[str]:
    """Return the names of the devices that are here, `cpu` first."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    count = torch.accelerator.device_count() if accelerator is not None else 0
    return ["cpu", *(f"{accelerator.type}:{index}" for index in range(count) if accelerator is not None)]
