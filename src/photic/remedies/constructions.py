"""Rewrites of where things are made: the optimizer, activations and recurrent layers, lists of modules, types of numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import libcst as cst
from torch import nn

from photic.remedies.prescription import Prescription
from photic.remedies.rewrites import parsed, replace_name, times, with_argument
from photic.remedies.source import Change, NoPlace, Source, called, root
from photic.remedies.transformer_layers import layer_around

CLASSES = {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "softsign": "Softsign", "hardtanh": "Hardtanh", "elu": "ELU",
    "selu": "SELU", "gelu": "GELU", "silu": "SiLU", "leaky_relu": "LeakyReLU", "softplus": "Softplus", "mish": "Mish",
    "softmax": "Softmax", "log_softmax": "LogSoftmax", "nll_loss": "NLLLoss", "cross_entropy": "CrossEntropyLoss",
}  # fmt: skip


def other_class(source: Source, operation: str, becomes: str) -> dict[cst.CSTNode, Change]:
    """Return the plan that makes every `nn.Sigmoid()` of the file another module; with '' one that hands through."""
    found = source.called(CLASSES.get(operation, "?"))
    if not found:
        raise NoPlace(f"the file makes no {operation} module")
    other = CLASSES[becomes] if becomes else "Identity"
    if becomes == "log_softmax":  # over the same axis
        return dict.fromkeys(found, lambda call: replace_name(call, other))
    return dict.fromkeys(found, lambda call: replace_name(call.with_changes(args=[]), other))


def made(
    source: Source, prescription: Prescription, optimizer: str, model: nn.Module, within: Collection[str]
) -> dict[cst.CSTNode, Change]:
    """Return what is done to the calls that make the optimizer, layers and lists.

    Args:
        source: the file.
        prescription: what is changed.
        optimizer: as the run has it: `SGD(lr=0.1)`.
        model: the treated model.
        within: functions that make the model and the optimizer, and classes of its modules.

    Raises:
        NoPlace: where the file does not make them at one place.
    """
    p = prescription
    plan: dict[cst.CSTNode, Change] = {}
    if p.rate != 1.0 or p.settings or p.adam or p.owned:
        plan[_one(source, optimizer.partition("(")[0], within)] = _optimizer(p, optimizer)
    recurrent = [name for name in p.batch_first if isinstance(model.get_submodule(name), nn.RNNBase)]
    kinds = {type(model.get_submodule(name)).__name__ for name in p.gated}
    plan |= {_one(source, kind.replace("GRU", "RNN"), within): _gated for kind in kinds}
    plan |= {_one(source, kind, within): _batch_first for kind in _all_of(model, p.batch_first)}
    for name in recurrent:
        calls = source.called(name.rpartition(".")[2], within)
        plan |= {call: _from_rest for call in calls if len(call.args) > 1 and root(call.func) == "self"}
    if p.recomputed:
        calls = source.called("checkpoint")
        if not calls:
            raise NoPlace("the file calls no checkpoint")
        plan |= dict.fromkeys(calls, lambda call: with_argument(call, ("use_reentrant",), None, "False"))
    if p.registered:
        plan |= _registered(source, model)
    if p.relisted:
        plan |= _relisted(source, p.relisted)
    if p.precision:
        plan |= _precision(source, p.precision, within)
    if p.blocks:
        plan |= _connected(source, p.blocks, model)
    return plan


def _one(source: Source, name: str, within: Collection[str]) -> cst.Call:
    calls = source.called(name, within) if name else []
    if len(calls) != 1:
        raise NoPlace(f"the file makes {len(calls)} of {name or 'no optimizer'}")
    return calls[0]


def _optimizer(p: Prescription, as_recorded: str) -> Callable[[cst.Call], cst.BaseExpression]:
    def change(call: cst.Call) -> cst.BaseExpression:
        if not call.args or '"lr"' in _code(call.args[0]) or "'lr'" in _code(call.args[0]):
            raise NoPlace("its groups have rates of their own")
        if p.adam:
            call = call.with_changes(
                func=parsed("torch.optim.Adam"), args=[call.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)]
            )
        if p.owned:
            call = call.with_changes(
                args=[call.args[0].with_changes(value=_all_parameters(call.args[0].value)), *call.args[1:]]
            )
        if p.rate != 1.0:
            call = with_argument(call, ("lr",), 1, _new_rate(call, p, as_recorded))
        for name, value in p.settings.items():
            call = with_argument(call, (name,), None, f"{value:.6g}")
        return call

    return change


def _new_rate(call: cst.Call, p: Prescription, as_recorded: str) -> str:
    if p.adam:
        return f"{1e-3 * p.rate:.3g}"
    recorded = re.search(r"\blr=([0-9.e+-]+)", as_recorded)
    if recorded is None:
        raise NoPlace("the rate is not known")
    given = next((arg.value for arg in call.args[1:] if arg.keyword is not None and arg.keyword.value == "lr"), None)
    if given is None and len(call.args) > 1 and call.args[1].keyword is None:
        given = call.args[1].value
    if given is not None and not isinstance(given, (cst.Float, cst.Integer)):
        return _code(times(given, p.rate))
    if given is not None and not math.isclose(float(given.value), float(recorded[1]), rel_tol=1e-2):
        raise NoPlace(f"another optimizer: its rate was {recorded[1]}")
    return f"{p.rate * float(recorded[1] if given is None else given.value):.3g}"


def _all_parameters(given: cst.BaseExpression) -> cst.BaseExpression:
    """`model.head.parameters()` to `model.parameters()`."""
    if isinstance(given, cst.Call) and called(given.func) == "parameters" and root(given.func) not in ("", "self"):
        whole = f"{root(given.func)}.parameters()"
        if whole != _code(given):
            return parsed(whole)
    raise NoPlace("the optimizer's parameters are no module's")


def _made_by(model: nn.Module, name: str) -> str:
    """Return the class of torch's that is made where a module is: an attention may be part of a transformer's layer."""
    return type(layer_around(model, name) or model.get_submodule(name)).__name__


def _all_of(model: nn.Module, names: Sequence[str]) -> set[str]:
    """Return the classes of which all modules are to know how the batch lies.

    Raises:
        NoPlace: where one that is made by the same call must stay as it is.
    """
    kinds = {_made_by(model, name) for name in names}
    for name, module in model.named_modules():
        changed = {name, f"{name}.self_attn", f"{name}.multihead_attn"} & set(names)
        if type(module).__name__ in kinds and not changed:
            raise NoPlace(f"one {type(module).__name__} must stay as it is")
    return kinds


def _batch_first(call: cst.Call) -> cst.BaseExpression:
    if any(not arg.keyword for arg in call.args[4:]):
        _refused()
    return with_argument(call, ("batch_first",), None, "True")


def _from_rest(call: cst.Call) -> cst.BaseExpression:
    """Leave out the state, made for as many examples as there were steps; torch's own is 0."""
    return call.with_changes(args=[call.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)])


def _gated(call: cst.Call) -> cst.BaseExpression:
    if len([arg for arg in call.args if arg.keyword is None]) > 2:
        raise NoPlace("its arguments stand by place")
    kept = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != "nonlinearity"]
    kept = [*kept[:-1], kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)]
    name = "GRUCell" if called(call.func) == "RNNCell" else "GRU"
    if isinstance(call.func, cst.Attribute):
        return call.with_changes(func=call.func.with_changes(attr=cst.Name(name)), args=kept)
    return call.with_changes(func=parsed(f"torch.nn.{name}"), args=kept)


def _refused() -> cst.BaseExpression:
    raise NoPlace("its arguments stand by place")


def _registered(source: Source, model: nn.Module) -> dict[cst.CSTNode, Change]:
    known: dict[str, str] = {}
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)):
                known[name] = type(child).__name__
    plain = (cst.List, cst.ListComp, cst.Tuple, cst.Dict, cst.DictComp)
    found = {value: known[name] for name, value in source.assignments() if name in known and isinstance(value, plain)}
    if not found:
        raise NoPlace("no plain list is assigned in the file")
    return {value: _wrapped(kind) for value, kind in found.items()}


def _relisted(source: Source, names: Collection[str]) -> dict[cst.CSTNode, Change]:
    """`self.stages = zip(a, b)` to `self.stages = list(zip(a, b))`."""
    wanted = {name.rpartition(".")[2] for name in names}
    found = [(name, value) for name, value in source.assignments() if name in wanted]
    if {name for name, _ in found} != wanted:
        raise NoPlace("the file does not make the iterator")
    return {value: _listed for _, value in found}


def _listed(value: cst.BaseExpression) -> cst.BaseExpression:
    if isinstance(value, cst.GeneratorExp):
        value = value.with_changes(lpar=value.lpar[1:], rpar=value.rpar[1:])
    return cst.Call(cst.Name("list"), [cst.Arg(value)])


def _precision(source: Source, kind: str, within: Collection[str]) -> dict[cst.CSTNode, Change]:
    """Every `.half()`, `torch.float16` and `torch.autocast(...)` that makes the network."""
    halves = [name for name in ("half", "bfloat16") if name != kind]
    method = "float" if kind == "float32" else kind
    calls = [call for name in halves for call in source.called(name, within) if isinstance(call.func, cst.Attribute)]
    plan: dict[cst.CSTNode, Change] = dict.fromkeys(calls, lambda call: replace_name(call, method))
    types = source.attributes("torch", [*halves, "float16"], within)
    plan |= dict.fromkeys(types, lambda node: node.with_changes(attr=cst.Name(kind)))
    for call in source.called("autocast", within):
        plan[call] = lambda call: with_argument(call, ("enabled",), None, "False")
    if not plan:
        raise NoPlace("the file names no half precision")
    return plan


def _connected(source: Source, blocks: tuple[str, ...], model: nn.Module) -> dict[cst.CSTNode, Change]:
    """`x + block(x)` where each of the blocks is called, by its name or in a loop over their list."""
    plan: dict[cst.CSTNode, Change] = {}
    for name in blocks:
        owner, _, last = name.rpartition(".")
        if last.isdigit():
            beside = {f"{owner}.{child}" for child, _ in model.get_submodule(owner).named_children()}
            calls = source.loop_calls(owner.rpartition(".")[2]) if beside <= set(blocks) else []
        else:
            calls = source.called(last)
        if not calls:
            raise NoPlace(f"{name} is not called by its name, nor in a loop over all that get a connection")
        plan |= dict.fromkeys(calls, _plus_argument)
    return plan


def _plus_argument(call: cst.Call) -> cst.BaseExpression:
    if len(call.args) != 1 or root(call.args[0].value) == "":
        raise NoPlace("what enters the block has no name")
    return cst.BinaryOperation(call.args[0].value, cst.Add(), call)


def _wrapped(kind: str) -> Callable[[Any], cst.BaseExpression]:
    return lambda value: cst.Call(parsed(f"torch.nn.{kind}"), [cst.Arg(value)])


def _code(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)
