"""Surgery: modules that torch does not know of are registered, plain recurrences get gates, weights another precision."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from photic.checkups.setup import LossFunction
from photic.probes.generators import seeded


def register_modules(model: nn.Module) -> None:
    """Turn plain lists, tuples and dicts of modules or parameters into torch's own, in place."""
    for module in list(model.modules()):
        for name, value in list(vars(module).items()):
            if name.startswith("_"):
                continue
            known = _registered(value)
            if known is not None:
                setattr(module, name, known)
                register_modules(known)


def _registered(value: Any) -> nn.Module | None:
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, nn.Module) for item in value):  # pyright: ignore
        return nn.ModuleList(value)  # pyright: ignore
    if isinstance(value, dict) and value and all(isinstance(item, nn.Module) for item in value.values()):  # pyright: ignore
        return nn.ModuleDict({str(key): item for key, item in value.items()})  # pyright: ignore
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, nn.Parameter) for item in value):  # pyright: ignore
        return nn.ParameterList(value)  # pyright: ignore
    if isinstance(value, dict) and value and all(isinstance(item, nn.Parameter) for item in value.values()):  # pyright: ignore
        return nn.ParameterDict({str(key): item for key, item in value.items()})  # pyright: ignore
    return None


def gate_recurrence(model: nn.Module, names: Sequence[str], *, seed: int) -> None:
    """Put GRUs of the same sizes in the places of plain recurrent modules."""
    with seeded(seed):
        for name in names:
            plain: Any = model.get_submodule(name)
            kind: Any = nn.GRUCell if isinstance(plain, nn.RNNCell) else nn.GRU
            given = {key: getattr(plain, key) for key in ("input_size", "hidden_size", "bias")}
            if kind is nn.GRU:
                given |= {key: getattr(plain, key) for key in ("num_layers", "batch_first", "dropout", "bidirectional")}
            weight = next(plain.parameters())
            gated = kind(**given, device=weight.device, dtype=weight.dtype)
            gated.train(plain.training)
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, gated)


def unshare(model: nn.Module, names: Sequence[str], *, seed: int) -> None:
    """Put a copy of each module, drawn anew, in the place of every further name that it has."""
    with seeded(seed):
        for shared in [model.get_submodule(name) for name in names]:
            places = [
                (owner, key) for owner in model.modules() for key in owner._modules if owner._modules[key] is shared
            ]
            for owner, key in places[1:]:
                own: Any = copy.deepcopy(shared)
                own.reset_parameters()
                owner._modules[key] = own


def give_answers(model: nn.Module, answers: Mapping[str, int], *, seed: int) -> None:
    """Put linear layers with so many outputs in the places of others; they are drawn as torch does."""
    with seeded(seed):
        for name, count in answers.items():
            plain: Any = model.get_submodule(name)
            weight = plain.weight
            own = nn.Linear(
                weight.shape[1],
                count,
                bias=getattr(plain, "bias", None) is not None,
                device=weight.device,
                dtype=weight.dtype,
            )
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, own)


def widen(model: nn.Module, units: int, *, seed: int) -> None:
    """Give every axis of length 0 of a parameter `units` places: matrices with Xavier's variance, scales of 1, all else 0."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, old in list(module._parameters.items()):
            if old is None or 0 not in old.shape:
                continue
            new = torch.zeros([size or units for size in old.shape], dtype=old.dtype)
            if new.ndim > 1:
                reach = new[0, 0].numel()
                new.normal_(0.0, (2.0 / (reach * (new.shape[0] + new.shape[1]))) ** 0.5, generator=generator)
            elif name in ("weight", "gamma", "scale"):
                new += 1.0
            module._parameters[name] = nn.Parameter(new.to(old.device), requires_grad=old.requires_grad)
            for attribute, value in list(vars(module).items()):
                if attribute in _WIDTHS and value == 0:
                    setattr(module, attribute, units)


def compute_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Give all weights this type, and every floating-point number that enters."""
    model.to(dtype)
    model.__dict__["forward"] = _Cast(model.forward, dtype)


def loss_in(loss: LossFunction, dtype: torch.dtype) -> LossFunction:
    """Return the loss with its outputs and targets in this type."""
    return _Cast(loss, dtype)


_WIDTHS = ("in_features", "out_features", "in_channels", "out_channels", "num_features", "embedding_dim")
_HALVES = (torch.float16, torch.bfloat16)


class _Cast:
    """A forward, or a loss, that takes its numbers in one type."""

    def __init__(self, forward: Callable[..., Any], dtype: torch.dtype) -> None:
        self.forward, self.dtype = forward, dtype

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", enabled=False), _OneType(self.dtype):
            return self.forward(*tree_map(self.cast, args), **tree_map(self.cast, kwargs))

    def cast(self, value: Any) -> Any:
        return value.to(self.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


class _OneType(TorchFunctionMode):
    """Casts to fewer digits inside the forward become casts to the type that is wanted, and new numbers have as many as that, at least."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.fewer = (*_HALVES, torch.float32) if dtype is torch.float64 else _HALVES

    def __enter__(self) -> Any:
        self.usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.promote_types(self.usual, self.dtype))
        return super().__enter__()

    def __exit__(self, *how: Any) -> None:
        torch.set_default_dtype(self.usual)
        super().__exit__(*how)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.half, Tensor.bfloat16) or (func is Tensor.float and torch.float32 in self.fewer):
            return args[0].to(self.dtype)
        if func in (Tensor.to, Tensor.type):
            args = tuple(self.dtype if any(item is fewer for fewer in self.fewer) else item for item in args)
        if any(kwargs.get("dtype") is fewer for fewer in self.fewer):
            kwargs["dtype"] = self.dtype
        return func(*args, **kwargs)
