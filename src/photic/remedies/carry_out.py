"""Carry out a prescription on a model: draw its weights, and substitute calls while its forward runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from photic.initialisers.drawing import fill_normal
from photic.initialisers.initialise import initialise
from photic.initialisers.recurrent import (
    chrono,
    forget_bias_for,
    identity_recurrence,
    lstm_forget,
    orthogonal_recurrence,
)
from photic.probes.batches import call as call_model
from photic.probes.batches import split
from photic.probes.generators import kept, seeded
from photic.probes.substitution import Substitute, Substitution
from photic.probes.whole import Whole
from photic.remedies.bridges import Adopted
from photic.remedies.checkpoints import Open
from photic.remedies.functions import Differentiated, Floored
from photic.remedies.normalising import BatchNormalise, pre_normalised
from photic.remedies.parts import Joined
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.put_in import put_in
from photic.remedies.row_order import InOrder
from photic.remedies.siblings import Sibling, word_keys
from photic.remedies.substitutes import Connected, Kept, Squashed, substitutes_of
from photic.remedies.transformer_layers import told_together
from photic.remedies.truncation import FromRest, Truncated
from photic.remedies.unwritten import Unwritten


def carry_out(prescription: Prescription, model: nn.Module, *, seed: int, batch: Any = None) -> None:
    """Change the model in place; class, attributes and parameter names stay.

    Calls are substituted by wrapping the instance's `forward`, so the user's code need not change to find out.
    `batch` is needed where weights are drawn by a scheme that looks at the network.
    """
    parameters = dict(model.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    for layer in prescription.layers:
        draw(layer, parameters, generator)
    if prescription.recurrence == "chrono":
        chrono(model, generator, longest=prescription.longest)
    elif prescription.recurrence == "orthogonal":
        orthogonal_recurrence(model, generator)
    elif prescription.recurrence == "identity":
        identity_recurrence(model, generator)
    elif prescription.recurrence == "forget":
        lstm_forget(model, generator, bias=forget_bias_for(prescription.longest))
    elif prescription.recurrence == "default":
        _draw_as_torch_does(model, seed, (nn.RNNBase, nn.RNNCellBase))
        if prescription.longest:
            lstm_forget(model, generator, bias=forget_bias_for(prescription.longest))
    for name, how in prescription.loops:
        _keep_state(parameters[name], how, generator)
    for name, number in prescription.constants.items():
        nn.init.constant_(parameters[name], number)
    for name, factor in prescription.scaled.items():
        with torch.no_grad():
            parameters[name].mul_(factor)
    for name, deviation in prescription.centred.items():
        with torch.no_grad():
            values = parameters[name]
            values.sub_(values.mean()).mul_(deviation / values.std().clamp_min(1e-30))
    for names, trained in ((prescription.frozen, False), (prescription.thawed, True)):
        for name in names:
            parameters[name].requires_grad_(trained)
    for hooks in [parameters[name]._backward_hooks for name in prescription.unhooked]:
        if hooks:
            hooks.clear()
    if prescription.fresh:
        _draw_as_torch_does(model, seed, nn.Module)
    if prescription.scheme:
        initialise(model, prescription.scheme, batch=batch, seed=seed)
    word_keys(model, prescription.word_keys)
    for name in prescription.blocks:
        block = model.get_submodule(name)
        block.__dict__["forward"] = Connected(block.forward)
    for name in prescription.squashed:
        powers = model.get_submodule(name)
        powers.__dict__["forward"] = Squashed(powers.forward)
    for name in prescription.batch_first:
        for layer in told_together(model, name):
            layer.batch_first = True  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
            if isinstance(layer, nn.RNNBase):
                layer.__dict__["forward"] = FromRest(layer.forward)
    if prescription.truncated:
        for module in model.modules():
            if isinstance(module, (nn.RNN, nn.GRU, nn.LSTM)):
                module.__dict__["forward"] = Truncated(module, module.forward, prescription.truncated)
    if prescription.in_order:
        model.__dict__["forward"] = InOrder(model.forward)
    if prescription.recomputed:
        model.__dict__["forward"] = Open(model.forward)
    if prescription.differentiated:
        model.__dict__["forward"] = Differentiated(model.forward, prescription.differentiated)
    if prescription.floors:
        model.__dict__["forward"] = Floored(model.forward, prescription.floors)
    if prescription.unwritten:
        model.__dict__["forward"] = Unwritten(model, model.forward, prescription.unwritten)
    substitutes = substitutes_of(prescription) | pre_normalised(prescription, model)
    substitutes |= put_in(prescription, model, substitutes)
    substitutes |= {name: Adopted(model, f"adopted_{place}") for place, name in enumerate(prescription.adopted)}
    substitutes |= {name: Sibling(model, *layers) for name, layers in prescription.own_calls.items()}
    made: dict[str, list[Tensor]] = {name: [] for name in prescription.joined}
    substitutes |= {name: Kept(substitutes.get(name), held) for name, held in made.items()}
    if substitutes:
        model.__dict__["forward"] = _SubstitutedForward(model, model.forward, substitutes)
    if made:
        model.__dict__["forward"] = Joined(model.forward, list(made.values()))
    if prescription.adopted and batch is not None:
        _called_once(model, batch)


def changes_loss(prescription: Prescription) -> bool:
    """Whether the loss is another, or is given something else, or calls of the loss function are substituted."""
    return bool(prescription.standard_loss or prescription.logged) or any(
        name.startswith("<loss>") for name in substitutes_of(prescription)
    )


def substitute_loss(prescription: Prescription, model: nn.Module, loss: Any) -> Any:
    """Return the loss with those of its calls substituted that the prescription names; the loss itself where it names none."""
    substitutes = {name: one for name, one in substitutes_of(prescription).items() if name.startswith("<loss>")}
    return _SubstitutedLoss(model, loss, substitutes) if substitutes and loss is not None else loss


def _keep_state(parameter: Tensor, how: str, generator: torch.Generator) -> None:
    with torch.no_grad():
        if how == "decay":
            parameter.copy_(0.9 + 0.099 * torch.rand(parameter.shape, generator=generator))
            return
        for block in parameter.split(parameter.shape[1]):
            block.copy_(nn.init.orthogonal_(torch.empty(block.shape), generator=generator))


def _called_once(model: nn.Module, batch: Any) -> None:
    """Call the model, and leave its buffers and torch's generator as they are."""
    before = [buffer.clone() for buffer in model.buffers()]
    with kept(), torch.no_grad():
        call_model(model, split(batch)[0])
        for buffer, old in zip(model.buffers(), before, strict=True):
            buffer.copy_(old)


def _draw_as_torch_does(model: nn.Module, seed: int, kinds: Any) -> None:
    with seeded(seed):
        for module in model.modules():
            drawn = getattr(module, "reset_parameters", None)
            if isinstance(module, kinds) and getattr(drawn, "__module__", "").startswith("torch."):
                module.reset_parameters()  # type: ignore[operator]


def draw(layer: LayerInitialisation, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
    """Fill a layer's weight and bias as its scheme says."""
    weight = parameters[layer.weight]
    fan_in = math.prod(weight.shape[1:])
    fan_out = weight.shape[0] * math.prod(weight.shape[2:])
    variance = {
        "xavier": 2.0 / (fan_in + fan_out),
        "he": 2.0 / fan_in,
        "lecun": 1.0 / fan_in,
        "centred": layer.scale / fan_in,
    }[layer.scheme]
    fill_normal(weight, variance=variance, generator=generator)
    if layer.bias:
        with torch.no_grad():
            bias = parameters[layer.bias]
            bias.copy_(layer.shift * weight.flatten(1).sum(1)) if layer.scheme == "centred" else bias.zero_()


class _SubstitutedForward:
    """The model's forward with some of its calls substituted. Survives deepcopy and pickling of the model."""

    def __init__(self, model: nn.Module, forward: Callable[..., Any], substitutes: dict[str, Substitute]) -> None:
        self.model = model
        self.forward = forward
        self.substitution = Substitution(model, substitutes)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for substitute in self.substitution.substitutes.values():
            if isinstance(substitute, BatchNormalise):
                substitute.training = self.model.training
        whole = Whole()
        whole.enter((args, kwargs))
        with self.substitution.at_work(concerns=whole.concerns):
            return self.forward(*args, **kwargs)


class _SubstitutedLoss:
    """The user's loss with some of its calls substituted."""

    def __init__(self, model: nn.Module, loss: Callable[..., Any], substitutes: dict[str, Substitute]) -> None:
        self.loss, self.substitution = loss, Substitution(model, substitutes)

    def __call__(self, output: Any, targets: Any) -> Any:
        with self.substitution.at_work("loss"):
            return self.loss(output, targets)
