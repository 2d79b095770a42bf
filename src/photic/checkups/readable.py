"""Readable: whether the gradients of a model lie where a watch can read them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_ENGINES = ("DeepSpeedEngine", "MegatronModule", "PipelineEngine")


def raise_if_kept(models: nn.Module | Sequence[nn.Module]) -> None:
    """Raise where a wrapper keeps parameters or gradients to itself.

    Raises:
        RuntimeError: for FSDP1, whose flat parameters cannot be read, and for engines (DeepSpeed, Megatron).
    """
    kinds = _kinds(models)
    if "FullyShardedDataParallel" in kinds:
        raise RuntimeError(
            "FSDP1 keeps its parameters in flat buffers that photic cannot read; use `fully_shard` (FSDP2)"
        )
    for engine in _ENGINES:
        if engine in kinds:
            raise RuntimeError(
                f"{engine} keeps the gradients in its engine, where photic cannot read them; use DDP or FSDP2"
            )


def raise_if_not_whole(models: nn.Module | Sequence[nn.Module]) -> None:
    """Raise where one process cannot judge a model, because it does not hold the whole of it.

    Raises:
        RuntimeError: as `raise_if_kept`, and for models that are cut over the ranks: FSDP2 and tensor parallelism.
    """
    raise_if_kept(models)
    cut = any(hasattr(p, "placements") for model in _modules(models) for p in model.parameters())
    if cut or "FSDPModule" in _kinds(models):
        raise RuntimeError(
            "this process holds a part of each parameter only (FSDP2, tensor parallelism), and what it reads would be judged "
            "as if it were the whole; use `photic.integrations.distributed.watch`, on every rank"
        )


def _modules(models: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    given = [models] if isinstance(models, nn.Module) else list(models)
    return [model for model in given if isinstance(model, nn.Module)]  # pyright: ignore[reportUnnecessaryIsInstance]


def _kinds(models: nn.Module | Sequence[nn.Module]) -> set[str]:
    return {kind.__name__ for model in _modules(models) for module in model.modules() for kind in type(module).__mro__}
