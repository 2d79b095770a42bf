"""The audit: one forward and backward pass in which every differentiable operation is a site."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from photic import __version__
from photic.kernels.moments import moments
from photic.probes import batches
from photic.probes.calls import watching
from photic.probes.class_weights import pull_along_counts, uneven
from photic.probes.divided import told
from photic.probes.iterators import used_up
from photic.probes.recorder import Recorder
from photic.probes.shards import freed
from photic.probes.untouched import untouched
from photic.records.moments import Moments
from photic.records.runs import ParameterReading, Run, Step
from photic.records.sites import Parameter, Unseen

EMPTY = Moments(0, 0.0, 0.0, 0.0)


def measure(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
) -> Run:
    """Return what one forward and backward pass shows at every operation of the network.

    Every torch call on the network's signal is a site: modules, functional calls, operators, methods, the
    operations of the loss. At each: moments of the signal and of the error gradient, the exact gain, and what
    passes back along every edge. The model is left as it was: no hook, attribute, gradient, buffer, mode or
    random state changes.

    Args:
        model: any module; it runs in the mode (train or eval) it is in.
        batch: `(inputs, targets)`, or a tensor or dict alone. `inputs` may be a tensor, a tuple of positional
            or a dict of keyword arguments.
        loss: `loss(output, targets) -> scalar`; None uses the output's own `.loss`.
        optimizer: tells which parameters are trained and with what learning rate; it is not stepped.

    Returns:
        A run of one step. If the forward pass or the loss raises, the run ends there and says so in `stopped`.

    Raises:
        TypeError: if `model` is no module or the batch has no such form.
        ValueError: if the loss is not a scalar.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        >>> run = measure(model, (torch.ones(1, 2), torch.zeros(1, 2)), torch.nn.functional.mse_loss)
        >>> [(site.name, site.operation) for site in run.sites]
        [('0', 'linear'), ('1', 'relu'), ('<loss>/mse_loss#1', 'mse_loss')]
    """
    return _audit(model, batch, loss, optimizer, backward=True)


def look(model: nn.Module, batch: Any) -> Run:
    """Return the sites, edges, weights and signals of one forward pass; no loss, no gradients."""
    return _audit(model, batch, None, None, backward=False)


def sighted(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Any, Any], Tensor] | None,
    *,
    see: Callable[[int, Tensor], None],
    hear: Callable[[int, Tensor], None],
) -> Run:
    """Measure, and hand the first output of every site to `see` and its gradient to `hear`, with the site's index."""
    return _audit(model, batch, loss, None, backward=True, recorder=Recorder(see=see, hear=hear))


def _audit(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Any, Any], Tensor] | None,
    optimizer: torch.optim.Optimizer | None,
    *,
    backward: bool,
    recorder: Recorder | None = None,
) -> Run:
    if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected a torch.nn.Module to measure, got {type(model).__name__}; pass the network itself")
    inputs, targets = batches.split(batch)
    recorder = recorder or Recorder()
    stopped = ""
    value: Tensor | None = None
    gradients: dict[int, Tensor | None] = {}
    output: Any = None
    neutral: float | None = None
    pull: tuple[float, float] | None = None
    iterators = used_up(model)
    stateful_loss = untouched(loss) if isinstance(loss, nn.Module) else nullcontext()
    with untouched(model), stateful_loss, torch.enable_grad():
        recorder.mark_inputs(inputs)
        try:
            with watching(model, recorder.visit, recorder.cross, recorder.follows, recorder.whole.concerns) as watcher:
                output = batches.call(model, inputs)
                recorder.mark_outputs(output)
                watcher.phase = "loss"
                if backward:
                    value = batches.scalar_loss(output, targets, loss, 0)
        except Exception as error:  # the user's forward: a partial run is worth more than none
            if _raised_by(error) == batches.__file__:  # our own word on the batch or the loss, not a failing network
                raise
            stopped = _stopped(recorder, error) + batches.called(model, inputs, output, targets, error)
        if value is not None and loss is not None and isinstance(output, Tensor):
            neutral, pull = _neutral(output, targets, loss)
        for forward in recorder.forwards:
            forward.asked = None if forward.divided is None else told(forward.divided, targets)
        if value is not None and value.requires_grad:
            try:
                gradients = _backward(model, recorder, value)
            except RuntimeError as error:  # torch's own: no derivative, changed in place, a graph that is gone
                stopped = f"{type(error).__name__} in the backward pass: {error}"
    sites, edges, edge_readings = recorder.readings()
    parameters, parameter_readings = parameter_table(model, recorder, optimizer, gradients)
    return Run(
        model=type(model).__name__,
        sites=tuple(forward.site for forward in recorder.forwards),
        edges=edges,
        parameters=parameters,
        steps=(Step(0, None if value is None else float(value.detach()), sites, edge_readings, parameter_readings),),
        unseen=tuple(recorder.unseen),
        outputs=recorder.outputs,
        inputs=recorder.inputs,
        columns=recorder.columns,
        used_up=iterators,
        whole_differ=recorder.whole.differ(),
        neutral_loss=neutral,
        pull_power=None if pull is None else pull[0],
        pull_correlation=None if pull is None else pull[1],
        foreign=foreign(model, recorder, optimizer),
        optimizer=optimizer_words(optimizer),
        stopped=stopped,
        facts={**circumstances(model), **scheduled(optimizer)},
    )


def _neutral(
    output: Tensor, targets: Any, loss: Callable[[Any, Any], Tensor]
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the loss of outputs that are all 0, and how much it pulls at each class there; None where the loss does not take them."""
    classes = output.is_floating_point() and uneven(output, targets)
    try:
        with torch.set_grad_enabled(classes):
            nothing = torch.zeros_like(output, requires_grad=classes)
            value = loss(nothing, targets)
            if not classes or not value.requires_grad:
                return float(value), None
            (gradient,) = torch.autograd.grad(value, nothing)
            return float(value.detach()), pull_along_counts(gradient, targets)
    except Exception:  # a loss that looks at more than the numbers
        return None, None


def _backward(model: nn.Module, recorder: Recorder, value: Tensor) -> dict[int, Tensor | None]:
    """Run the backward pass and return the gradient of each leaf by `id`; nobody's `.grad` is touched."""
    recorder.graph.add_site(len(recorder.forwards) - 1, [value])  # a loss that no call announced ends the last site
    recorder.graph.listen()
    leaves = list(recorder.graph.leaves.values())
    if not leaves:
        return {}
    hidden = recorder.graph.reentrant_checkpoints()
    if hidden:
        for site in sorted(hidden):
            place = recorder.forwards[site].site
            recorder.unseen.append(
                Unseen(
                    place.name,
                    "a reentrant checkpoint hides its operations; use_reentrant=False shows them",
                    place.where,
                )
            )
        known = {id(leaf): leaf for leaf in [*leaves, *(p for p in model.parameters() if p.requires_grad)]}
        return _backward_into_grad(value, known)
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    return {id(leaf): gradient for leaf, gradient in zip(leaves, found, strict=True)}


def _backward_into_grad(value: Tensor, leaves: Mapping[int, Tensor]) -> dict[int, Tensor | None]:
    """The same where reentrant checkpoints allow no other way: through `.grad`, put back afterwards."""
    saved = {key: leaf.grad for key, leaf in leaves.items()}
    for leaf in leaves.values():
        leaf.grad = None
    try:
        value.backward()
        return {key: leaf.grad for key, leaf in leaves.items()}
    finally:
        for key, leaf in leaves.items():
            leaf.grad = saved[key]


def _plain_attributes(model: nn.Module) -> set[int]:
    """Return the `id` of each tensor that a module keeps as an attribute, by itself or in a list, and that is no parameter."""
    values = [value for module in model.modules() for name, value in vars(module).items() if not name.startswith("_")]
    kept = [item for value in values for item in (value if isinstance(value, (list, tuple)) else [value])]
    return {id(item) for item in kept if isinstance(item, Tensor)}


def parameter_table(
    model: nn.Module,
    recorder: Recorder,
    optimizer: torch.optim.Optimizer | None,
    gradients: Mapping[int, Tensor | None],
) -> tuple[tuple[Parameter, ...], tuple[ParameterReading, ...]]:
    """Return all parameters of the model with their readings; `gradients` are by the parameter's `id`."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
        tensors[id(parameter)] = parameter
    attributes = _plain_attributes(model)
    for key, leaf in recorder.graph.leaves.items():
        # of a module in a plain list, or of the loss, or a tensor of the model's that was meant to be a parameter
        if key not in tensors and (isinstance(leaf, nn.Parameter) or key in attributes):
            users = [recorder.forwards[site].site for site in recorder.graph.leaf_users[key]]
            place = users[0].module if users else ""
            names[key] = [f"{place}.<unregistered {'x'.join(map(str, leaf.shape))}>"]
            tensors[key] = leaf
            recorder.unseen.append(
                Unseen(
                    f"parameter of shape {tuple(leaf.shape)} used in {place or 'the model'}",
                    "it is no registered parameter of the model, so `model.parameters()` does not list it",
                    users[0].where if users else "",
                )
            )
    groups = {} if optimizer is None else {id(p): g for g in optimizer.param_groups for p in g["params"]}
    table: list[Parameter] = []
    readings: list[ParameterReading] = []
    for key, tensor in tensors.items():
        if is_lazy(tensor):
            continue
        rate = groups[key].get("lr") if key in groups else None
        gradient = gradients.get(key)
        table.append(
            Parameter(
                name=names[key][0],
                shape=tuple(tensor.shape),
                dtype=str(tensor.dtype).removeprefix("torch."),
                trainable=tensor.requires_grad,
                owned=None if optimizer is None else key in groups,
                sites=recorder.sites_of_parameter(tensor),
                aliases=tuple(names[key][1:]),
                learning_rate=None if rate is None else float(rate),
                hooked=bool(tensor._backward_hooks),
                hidden=recorder.hidden.get(key, "") if gradient is None else "",
            )
        )
        weight = EMPTY if freed(tensor) else moments(tensor)
        readings.append(ParameterReading(weight, None if gradient is None else moments(gradient)))
    return tuple(table), tuple(readings)


def scheduled(optimizer: torch.optim.Optimizer | None) -> dict[str, str]:
    """Return the fact that a scheduler of torch's holds a rate below its full one: a warm-up, or the end of a decay."""
    groups = [] if optimizer is None else optimizer.param_groups
    held = any(group.get("lr", 0.0) < group["initial_lr"] for group in groups if "initial_lr" in group)
    return {"rate": "scheduled"} if held else {}


def foreign(model: nn.Module, recorder: Recorder, optimizer: torch.optim.Optimizer | None) -> int:
    """Return how many tensors the optimizer holds that are no parameters of the model and that the pass did not use."""
    if optimizer is None:
        return 0
    known = {id(p) for p in model.parameters()} | set(recorder.graph.leaves)
    return sum(id(p) not in known for group in optimizer.param_groups for p in group["params"])


def circumstances(model: nn.Module) -> dict[str, str]:
    """Return versions and the mode that the model is in."""
    return {
        "photic": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "mode": "train" if model.training else "eval",
    }


def _raised_by(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else trace.tb_frame.f_code.co_filename


def _stopped(recorder: Recorder, error: Exception) -> str:
    call = recorder.failing
    place = ""
    if call is not None:
        where = f" ({call.where})" if call.where else ""
        place = f" in {call.name}{where}"
        recorder.unseen.append(Unseen(call.name, f"raised {type(error).__name__}: {error}", call.where))
    return f"{type(error).__name__}{place}: {error}"


def optimizer_words(optimizer: torch.optim.Optimizer | None) -> str:
    """Return class and settings of an optimizer: `SGD(lr=0.1)`."""
    if optimizer is None:
        return ""
    defaults: dict[str, Any] = optimizer.defaults
    shown = {key: defaults[key] for key in ("lr", "momentum", "betas", "eps", "weight_decay") if key in defaults}
    return f"{type(optimizer).__name__}({', '.join(f'{key}={value}' for key, value in shown.items())})"
