"""Rewrites: what a prescription makes of the expressions at its sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import libcst as cst

from photic.probes.operations import place_of
from photic.records.runs import Run
from photic.remedies.prescription import Prescription
from photic.remedies.source import NoPlace, atom, called, operands, root

# `torch.tanh`, `x.tanh()`, `F.tanh`; the others stand in torch.nn.functional alone.
OF_TORCH = ("tanh", "relu", "sigmoid")


@dataclass(frozen=True)
class Rewrite:
    """What is made of one site's expression.

    Attributes:
        said: in plain data; two that say the same do the same.
        change: given the expression.
        called: the name that it is called by, where that is not the site's operation.
        operand: name of the site whose result is the argument that is changed; '' changes the whole expression.
        stream: name of the site whose result the variable holds that the expression is assigned to again, `x = f(x)`; '' asks for none.
    """

    said: tuple[Any, ...]
    change: Callable[[Expression], cst.BaseExpression] = field(compare=False)
    called: str = ""
    operand: str = ""
    stream: str = ""


@dataclass(frozen=True)
class Expression:
    """A call or an operator, whatever way it is written: `torch.relu(x)`, `x.relu()`, `x + y`.

    Attributes:
        node: the expression.
        imported: names that are modules: `F` in `F.relu(x)` is no value.
        module: whether it calls a module of the network.
        stream: the variable that it is assigned to again, where one was asked for.
    """

    node: cst.BaseExpression
    imported: frozenset[str] = frozenset()
    module: bool = False
    stream: str = ""

    @property
    def method(self) -> cst.Attribute | None:
        """`x.relu` in `x.relu()`; None where a function is called."""
        if self.module or not isinstance(self.node, cst.Call) or not isinstance(self.node.func, cst.Attribute):
            return None
        return None if root(self.node.func) in self.imported else self.node.func

    @property
    def first(self) -> cst.BaseExpression:
        """The first argument."""
        if self.method is not None:
            return self.method.value
        given = operands(self.node)[isinstance(self.node, cst.Call) and isinstance(self.node.func, cst.Attribute) :]
        if isinstance(self.node, cst.Attribute):
            return self.node.value
        if not given:
            raise NoPlace("a call without arguments")
        return given[0]

    def with_first(self, value: cst.BaseExpression) -> cst.BaseExpression:
        """Return it with another first argument."""
        if self.method is not None:
            return self.node.with_changes(func=self.method.with_changes(value=atom(value)))
        if isinstance(self.node, cst.BinaryOperation):
            return self.node.with_changes(left=atom(value))
        assert isinstance(self.node, cst.Call)
        given = self.node.args
        return self.node.with_changes(args=[given[0].with_changes(value=value), *given[1:]])

    @property
    def name(self) -> str:
        """What is called."""
        return called(self.node.func) if isinstance(self.node, cst.Call) else ""

    def argument(self, name: str, place: int) -> cst.BaseExpression:
        """The argument of a name, or at a place that counts the signal as 0."""
        given = self.node.args if isinstance(self.node, cst.Call) else ()
        for index, arg in enumerate(given):
            if (arg.keyword is None and index + (self.method is not None) == place) or (
                arg.keyword is not None and arg.keyword.value == name
            ):
                return arg.value
        raise NoPlace(f"no argument {name}")

    def with_argument(self, names: tuple[str, ...], place: int | None, value: str) -> cst.BaseExpression:
        """Return the call with a setting; `place` counts the signal as 0, None where it is given by name alone."""
        if not isinstance(self.node, cst.Call):
            raise NoPlace("no call")
        return with_argument(self.node, names, None if place is None else place - (self.method is not None), value)

    def renamed(self, name: str) -> cst.BaseExpression:
        """Return the call of another function."""
        assert isinstance(self.node, cst.Call)
        if isinstance(self.node.func, cst.Attribute):
            return self.node.with_changes(func=self.node.func.with_changes(attr=cst.Name(name)))
        return self.node.with_changes(func=parsed(f"torch.nn.functional.{name}"))


def with_argument(call: cst.Call, names: tuple[str, ...], place: int | None, value: str) -> cst.Call:
    """Return the call with an argument set: where it stands by name or place, else added by the first of its names."""
    given = list(call.args)
    for index, arg in enumerate(given):
        if arg.star:
            raise NoPlace("its arguments are unpacked")
        if (arg.keyword is not None and arg.keyword.value in names) or (arg.keyword is None and index == place):
            given[index] = arg.with_changes(value=parsed(value))
            return call.with_changes(args=given)
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return call.with_changes(args=[*given, cst.Arg(parsed(value), keyword=cst.Name(names[0]), equal=equal)])


def parsed(text: str) -> cst.BaseExpression:
    """Return an expression of plain text."""
    return cst.parse_expression(text)


def times(value: cst.BaseExpression, factor: float) -> cst.BaseExpression:
    """Return `factor * value`."""
    return cst.BinaryOperation(parsed(f"{factor:.4g}"), cst.Multiply(), atom(value))


def rewrites_of(prescription: Prescription, run: Run) -> dict[str, Rewrite]:
    """Return what is made of each site of a run; a site that a prescription names twice has no place."""
    p = prescription
    found: list[tuple[str, Rewrite]] = [
        *((name, Rewrite(("activation", to), _other_activation(to))) for name, to in p.activations.items()),
        *((name, Rewrite(("removed",), lambda e: e.first)) for name in p.removed),
        *(
            (
                name,
                Rewrite(("normalised", p.normalisation), _normalised(p.normalisation, len(run.site(name).shape) >= 4)),
            )
            for name in (p.normalised if p.normalisation != "batch" else ())
        ),
        *((name, Rewrite(("factor", by), _scaled(by))) for name, by in p.factors.items()),
        *((name, Rewrite(("straight",), _straight)) for name in p.straight),
        *((name, Rewrite(("epsilon", epsilon), _epsilon(name, epsilon))) for name, epsilon in p.epsilons.items()),
        *((name, Rewrite(("dropped", share), _dropping(share))) for name, share in p.dropped.items()),
        *((name, Rewrite(("squeezed", how), _squeezed(*how))) for name, how in p.squeezed.items()),
        *((name, Rewrite(("pathwise",), lambda e: e.renamed("rsample"), called="sample")) for name in p.pathwise),
        *(
            (name, Rewrite(("slopes",), lambda e: e.with_argument(("create_graph",), None, "True")))
            for name in p.slopes
        ),
        *((name, Rewrite(("guard", limits), _guarded(*limits))) for name, limits in p.guards.items()),
        *((name, Rewrite(("denominator", least), _away_from_0(least))) for name, least in p.denominators.items()),
        *((name, Rewrite(("axis", axis), _over(axis))) for name, axis in p.axes.items()),
        *((name, Rewrite(("turned",), _turned)) for name in p.turned_masks),
        *((name, Rewrite(("rows_first",), _moved("transpose", "0", "1"))) for name in p.rows_first),
        *((name, Rewrite(("channels_first",), _axis_moved("-1", "1"))) for name in p.channels_first),
        *((name, Rewrite(("channels_last",), _to_the_end(run.site(name).operation))) for name in p.channels_last),
        *(
            (name, Rewrite(("unaligned",), lambda e: e.with_argument(("zero_infinity",), 6, "True")))
            for name in p.unaligned
        ),
        *((name, Rewrite(("logarithms",), _of_scores(run.site(name).operation))) for name in p.logarithms),
        *(
            (
                name,
                Rewrite(
                    ("magnitudes",), lambda e: e.with_first(cst.Call(cst.Attribute(atom(e.first), cst.Name("abs"))))
                ),
            )
            for name in p.magnitudes
        ),
        *(
            (name, Rewrite(("rounded",), lambda e: cst.Call(cst.Attribute(atom(e.node), cst.Name("long")))))
            for name in p.rounded
        ),
        *((name, Rewrite(("bent",), lambda e: cst.Call(parsed("torch.tanh"), [cst.Arg(e.node)]))) for name in p.bent),
        *((name, Rewrite(("logged",), lambda e: e.renamed("log_softmax"))) for name in p.logged),
        *(
            (name, Rewrite(("balance", by), lambda e, by=by: times(e.node, by), operand=source))
            for name, (source, by) in p.balance.items()
        ),
        *((comparison, Rewrite(("goal",), _detached, operand=code)) for code, comparison in p.goals),
        *((site, Rewrite(("put_in", name, bare), _given(name, site, bare))) for name, site, bare in p.put_in),
        *((end, Rewrite(("skip",), _added, stream=start)) for start, end in p.skips),
        *(
            (end, Rewrite(("branch",), _branch(len(p.branched) ** -0.5, len(run.site(end).shape) >= 4), stream=start))
            for start, end in p.branched
        ),
    ]
    if len({name for name, _ in found}) < len(found):
        raise NoPlace("two changes of one call")
    return dict(found)


def _of_scores(operation: str) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        if operation != "ctc_loss":
            return e.renamed("cross_entropy")
        return e.with_first(cst.Call(cst.Attribute(atom(e.first), cst.Name("log_softmax")), [cst.Arg(parsed("-1"))]))

    return change


def _to_the_end(operation: str) -> Callable[[Expression], cst.BaseExpression]:
    return _moved("movedim", "1", "-1") if operation in ("view", "reshape") else _axis_moved("1", "-1")


def _axis_moved(*places: str) -> Callable[[Expression], cst.BaseExpression]:
    given = [cst.Arg(parsed(place)) for place in places]
    return lambda e: cst.Call(cst.Attribute(atom(e.first), cst.Name("movedim")), given)


def _moved(method: str, *places: str) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        moved = cst.Call(cst.Attribute(atom(e.first), cst.Name(method)), [cst.Arg(parsed(place)) for place in places])
        return e.with_first(cst.Call(cst.Attribute(moved, cst.Name("contiguous"))))

    return change


def _other_activation(becomes: str) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        assert isinstance(e.node, cst.Call)
        if becomes not in OF_TORCH:
            return cst.Call(parsed(f"torch.nn.functional.{becomes}"), [cst.Arg(e.first)])
        if e.method is not None:
            return e.renamed(becomes)
        one = e.node.with_changes(args=e.node.args[:1])
        return replace_name(one, becomes)

    return change


def replace_name(call: cst.Call, becomes: str) -> cst.Call:
    """Return the call of another name of torch's beside the old one: `nn.Sigmoid` to `nn.Tanh`, `sigmoid` to `torch.tanh`."""
    if isinstance(call.func, cst.Attribute):
        return call.with_changes(func=call.func.with_changes(attr=cst.Name(becomes)))
    return call.with_changes(func=parsed(f"torch.{becomes}"))


def _normalised(kind: str, maps: bool) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        return e.with_first(parsed(normal_form(cst.Module([]).code_for_node(atom(e.first)), kind, maps=maps)))

    return change


def normal_form(x: str, kind: str, *, maps: bool) -> str:
    """Return the code that normalises `x` over its features; of maps [N, C, H, W], over all numbers of an example."""
    if maps:
        return (
            f"torch.nn.functional.group_norm({x}, 1)"
            if kind == "layer"
            else f"torch.nn.functional.rms_norm({x}, {x}.shape[1:])"
        )
    return f"torch.nn.functional.{kind}_norm({x}, {x}.shape[-1:])"


def _given(name: str, site: str, bare: bool) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        owner, _, own = name.rpartition(".")
        beside = e.module and site.rpartition(".")[0] == owner and own.isidentifier()
        if not beside or not isinstance(e.first, cst.Name) or root(e.node.func) != "self":  # pyright: ignore
            raise NoPlace("no call of a module beside it on a variable")
        called_on = f"self.{own}({e.first.value})"
        return e.with_first(parsed(f"{e.first.value} + {f'torch.relu({called_on})' if bare else called_on}"))

    return change


def _added(e: Expression) -> cst.BaseExpression:
    return cst.BinaryOperation(cst.Name(e.stream), cst.Add(), e.node)


def _branch(share: float, maps: bool) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        shape = parsed(f"{e.stream}.shape[{1 if maps else -1}:]")
        normal = cst.Call(parsed("torch.nn.functional.rms_norm"), [cst.Arg(e.node), cst.Arg(shape)])
        return cst.BinaryOperation(cst.Name(e.stream), cst.Add(), times(normal, share))

    return change


def _scaled(factor: float) -> Callable[[Expression], cst.BaseExpression]:
    return lambda e: e.with_first(times(e.first, factor))


def _straight(e: Expression) -> cst.BaseExpression:
    """`x + (round(x) - x).detach()`; what is no plain name is named first."""
    name, before, taken = e.first, e.first, e.first
    if root(name) == "":
        taken = cst.Name("unrounded")
        plain = name if isinstance(name, (cst.Tuple, cst.GeneratorExp)) else name.with_changes(lpar=[], rpar=[])
        before = cst.NamedExpr(taken, plain, lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    difference = cst.BinaryOperation(e.with_first(taken), cst.Subtract(), taken)
    return cst.BinaryOperation(before, cst.Add(), cst.Call(cst.Attribute(atom(difference), cst.Name("detach"))))


def _detached(e: Expression) -> cst.BaseExpression:
    return cst.Call(cst.Attribute(atom(e.node), cst.Name("detach")))


def _epsilon(name: str, epsilon: float) -> Callable[[Expression], cst.BaseExpression]:
    operation = name.rpartition("/")[2].partition("#")[0]
    setting = {"clamp": "min", "clamp_min": "min"}.get(operation, "eps")

    def change(e: Expression) -> cst.BaseExpression:
        if isinstance(e.node, cst.BinaryOperation):
            for side in ("right", "left"):
                if isinstance(getattr(e.node, side), (cst.Float, cst.Integer)):
                    return e.node.with_changes(**{side: parsed(f"{epsilon:.3g}")})
        if operation in ("add", "") or e.module:
            raise NoPlace("its epsilon stands elsewhere")
        return e.with_argument((setting,), place_of(operation, setting), f"{epsilon:.3g}")

    return change


def _dropping(share: float) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        if e.module:
            raise NoPlace("its share stands where the module is made")
        return e.with_argument(("p",), 1, f"{share:g}")

    return change


def _squeezed(method: str, axis: int) -> Callable[[Expression], cst.BaseExpression]:
    return lambda e: cst.Call(cst.Attribute(atom(e.node), cst.Name(method)), [cst.Arg(parsed(str(axis)))])


def _guarded(low: float | None, high: float | None) -> Callable[[Expression], cst.BaseExpression]:
    limits = ", ".join(f"{side}={value:g}" for side, value in (("min", low), ("max", high)) if value is not None)

    def change(e: Expression) -> cst.BaseExpression:
        call = parsed(f"x.clamp({limits})")
        assert isinstance(call, cst.Call) and isinstance(call.func, cst.Attribute)
        return e.with_first(call.with_changes(func=call.func.with_changes(value=atom(e.first))))

    return change


def _away_from_0(least: float) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        if not isinstance(e.node, cst.BinaryOperation) or root(e.node.right) == "":
            raise NoPlace("what is divided by has no name")
        below = cst.Module([]).code_for_node(e.node.right)
        limit = f"torch.where({below} < 0, -{least:g}, {least:g})"
        return e.node.with_changes(right=parsed(f"torch.where({below}.abs() < {least:g}, {limit}, {below})"))

    return change


def _over(axis: int) -> Callable[[Expression], cst.BaseExpression]:
    def change(e: Expression) -> cst.BaseExpression:
        if e.module:
            raise NoPlace("a module has its axis where it is made")
        return e.with_argument(("dim", "axis"), 1, str(axis))

    return change


def _turned(e: Expression) -> cst.BaseExpression:
    """`~mask` in place of `mask`, which such calls take as truth values."""
    name, place = {"masked_fill": ("mask", 1), "where": ("condition", 0)}.get(e.name, ("", 0))
    if not name:
        raise NoPlace("its mask may be numbers")
    mask = cst.Module([]).code_for_node(atom(e.argument(name, place)))
    return e.with_argument((name,), place, f"~{mask}")
