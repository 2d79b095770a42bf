"""A source file as a tree that is searched by lines: which expressions make an operation, and who made their arguments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider

from photic.probes.operations import named
from photic.records.runs import Site

Change = Callable[[Any], cst.BaseExpression]
Node = TypeVar("Node", bound=cst.CSTNode)

_OPERATORS: dict[type[cst.CSTNode], str] = {
    cst.Add: "add", cst.Subtract: "sub", cst.Multiply: "mul", cst.Divide: "div", cst.MatrixMultiply: "matmul", cst.Power: "pow",
    cst.AddAssign: "add", cst.SubtractAssign: "sub", cst.MultiplyAssign: "mul", cst.DivideAssign: "div",
}  # fmt: skip


class NoPlace(Exception):
    """A part of a prescription has no place in the source."""


@dataclass(frozen=True, eq=False)
class Found:
    """An expression, or an addition in place, with the lines that it stands on."""

    node: cst.CSTNode
    first: int
    last: int


class Source:
    """A file.

    Args:
        text: what it holds.
    """

    def __init__(self, text: str) -> None:
        # What the parser made has no node twice: no copy is needed.
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        self.module = wrapper.module
        self._positions: Mapping[Any, Any] = wrapper.resolve(PositionProvider)
        self._parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._by_word: dict[str, list[Found]] = {}
        self._assigned: dict[str, list[cst.Assign]] = {}
        self.imported: set[str] = set()
        for node in below(self.module, self._parents):
            if isinstance(node, cst.ImportAlias):
                self.imported.add(node.evaluated_alias or node.evaluated_name.split(".")[0])
            elif isinstance(node, cst.Assign) and isinstance(node.targets[-1].target, cst.Name):
                self._assigned.setdefault(node.targets[-1].target.value, []).append(node)
            for word in _words(node):
                position = self._positions[node]
                self._by_word.setdefault(word, []).append(Found(node, position.start.line, position.end.line))

    @staticmethod
    @lru_cache(maxsize=4)
    def of(text: str) -> Source:
        """Return the source of a text; the same text is parsed once, and a source does not change."""
        return Source(text)

    def at(self, line: int, word: str) -> list[cst.CSTNode]:
        """Return what makes an operation, or calls the attribute `.name`, on a line: what begins there before what only covers it."""
        found = [one for one in self._by_word.get(word, []) if one.first <= line <= one.last]
        found = [one for one in found if not (word[0] != "." and _of_self(one.node))]
        return [one.node for one in found if one.first == line] or [one.node for one in found]

    def called(self, name: str, within: Collection[str] = ()) -> list[cst.Call]:
        """Return the calls of a name, `torch.optim.SGD(...)`, `SGD(...)`; of `within`, functions and classes, if there are any."""
        found = [one.node for one in self._by_word.get(f".{name}", []) if isinstance(one.node, cst.Call)]
        return self._inside(found, within)

    def attributes(self, owner: str, names: Collection[str], within: Collection[str] = ()) -> list[cst.Attribute]:
        """Return the places of `owner.name`, `torch.float16`; of `within` if there are any."""
        found = [
            node
            for node in below(self.module)
            if isinstance(node, cst.Attribute) and node.attr.value in names and m.matches(node.value, m.Name(owner))
        ]
        return self._inside(found, within)

    def _inside(self, nodes: list[Node], within: Collection[str]) -> list[Node]:
        return [node for node in nodes if not self._enclosing(node).isdisjoint(within)] or nodes

    def _enclosing(self, node: cst.CSTNode) -> set[str]:
        names: set[str] = set()
        while not isinstance(node, cst.Module):
            if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
                names.add(node.name.value)
            node = self._parents[node]
        return names

    def takes_first(self, node: cst.CSTNode) -> bool:
        """Whether an expression holds the first argument of the function that it stands in: of a loss, the output."""
        inner = {one.value for one in below(node) if isinstance(one, cst.Name)}
        while not isinstance(node, (cst.Module, cst.FunctionDef, cst.Lambda)):
            node = self._parents[node]
        given = () if isinstance(node, cst.Module) else node.params.params
        return any(one.name.value in inner for one in [p for p in given if p.name.value != "self"][:1])

    def loop_calls(self, attribute: str) -> list[cst.Call]:
        """Return the calls of each item in turn: `layer(x)` within `for layer in self.attribute`."""
        found: list[cst.Call] = []
        for node in below(self.module):
            if isinstance(node, cst.For) and called(node.iter) == attribute and isinstance(node.target, cst.Name):
                item = node.target.value
                found += [
                    one for one in below(node.body) if isinstance(one, cst.Call) and m.matches(one.func, m.Name(item))
                ]
        return found

    def assignments(self) -> Iterator[tuple[str, cst.BaseExpression]]:
        """Yield attribute and value of each `self.attribute = value`."""
        for node in below(self.module):
            if isinstance(node, cst.Assign) and m.matches(node.targets[0].target, m.Attribute(value=m.Name("self"))):
                target = node.targets[0].target
                assert isinstance(target, cst.Attribute)
                yield target.attr.value, node.value

    def operand(self, node: cst.CSTNode, site: Site) -> cst.BaseExpression | None:
        """Return the smallest argument of `node` that holds what makes a site, or the name that it was given; None without one."""
        holding = [one for one in operands(node) if self._holds(one, site, self._positions[node].start.line)]
        return holding[0] if len(holding) == 1 else None

    def _holds(self, expression: cst.CSTNode, site: Site, line: int) -> bool:
        own = {id(node) for word in words_of(site) for node in self.at(line_of(site), word)}
        path = {f".{part}" for part in site.name.partition("/")[0].partition("#")[0].split(".") if not part.isdigit()}
        for node in below(expression):
            if id(node) in own or (path - {"."}) & set(_words(node)):
                return True
        if not isinstance(expression, cst.Name):
            return False
        before = [one for one in self._assigned.get(expression.value, []) if self._ends(one) < line]
        return bool(before) and self._holds(max(before, key=self._ends).value, site, line)

    def line(self, node: cst.CSTNode) -> int:
        """Return the line on which an expression begins."""
        return int(self._positions[node].start.line)

    def holds(self, variable: str, site: Site, line: int) -> bool:
        """Whether the last assignment to a variable before a line is of what makes a site."""
        return self._holds(cst.Name(variable), site, line)

    def assigned_again(self, node: cst.CSTNode) -> str:
        """Return the variable that an expression is assigned to as a whole and that stands in it, `x` of `x = f(x)`; '' without one."""
        parent = self._parents[node]
        if not isinstance(parent, cst.Assign) or parent.value is not node or len(parent.targets) != 1:
            return ""
        target = parent.targets[0].target
        again = isinstance(target, cst.Name) and any(m.matches(one, m.Name(target.value)) for one in below(node))
        return target.value if isinstance(target, cst.Name) and again else ""

    def _ends(self, node: cst.CSTNode) -> int:
        return int(self._positions[node].end.line)

    def bare(self, node: cst.CSTNode, becomes: cst.CSTNode) -> bool:
        """Whether what an expression becomes needs no parentheses where it stands."""
        parent = self._parents[node]
        if m.matches(parent, m.BinaryOperation(operator=m.Add())):
            return m.matches(becomes, m.BinaryOperation(operator=m.Multiply()))
        return isinstance(parent, (cst.Assign, cst.AnnAssign, cst.AugAssign, cst.Return, cst.Arg, cst.Expr))

    def statement(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the line of statements that an expression stands in; None within the head of a block."""
        while not isinstance(node, (cst.SimpleStatementLine, cst.Module)):
            node = self._parents[node]
        return node if isinstance(node, cst.SimpleStatementLine) else None

    def changed(self, plan: Mapping[cst.CSTNode, Change], why: str) -> cst.Module:
        """Return the tree with each planned expression changed, and the reason as a comment above the first of them."""
        first = min(plan, key=lambda node: self._positions[node].start.line, default=None)
        said_above = self.statement(first) if first is not None else None
        return self.module.visit(_Changer(self, plan, said_above, why))


def line_of(site: Site) -> int:
    """Return the line of the user's source that made a site; 0 where it is not known."""
    return int(site.where.rpartition(":")[2] or 0)


def words_of(site: Site) -> tuple[str, ...]:
    """Return what a site may be called by in the source: its operation, or `.name` of the module that makes it."""
    if site.module_type and "/" not in site.name:
        return (f".{site.name.partition('#')[0].rpartition('.')[2]}",)
    return (site.operation,)


def operands(node: cst.CSTNode) -> list[cst.BaseExpression]:
    """Return the arguments of a call, an operator or an addition in place; a method's object comes first."""
    if isinstance(node, cst.BinaryOperation):
        return [node.left, node.right]
    if isinstance(node, cst.AugAssign):
        return [node.value]
    if isinstance(node, cst.Call):
        receiver = [node.func.value] if isinstance(node.func, cst.Attribute) else []
        return [*receiver, *(arg.value for arg in node.args)]
    return []


def called(function: cst.BaseExpression) -> str:
    """Return the last name of what is called: `relu` of `F.relu`."""
    if isinstance(function, cst.Attribute):
        return function.attr.value
    return function.value if isinstance(function, cst.Name) else ""


def root(value: cst.BaseExpression) -> str:
    """Return the leftmost name of `a.b.c`; '' of anything else."""
    while isinstance(value, cst.Attribute):
        value = value.value
    return value.value if isinstance(value, cst.Name) else ""


def _of_self(node: cst.CSTNode) -> bool:
    """Whether it calls an attribute of the object itself: `self.relu(x)` may be anything."""
    return isinstance(node, cst.Call) and m.matches(node.func, m.Attribute(value=m.Name("self")))


def _words(node: cst.CSTNode) -> tuple[str, ...]:
    if isinstance(node, (cst.BinaryOperation, cst.AugAssign)):
        word = _OPERATORS.get(type(node.operator))
        return () if word is None else (word,)
    if isinstance(node, cst.Attribute) and node.attr.value == "data":
        return ("data",)
    if isinstance(node, cst.Call) and (name := called(node.func)):
        return (named(name), f".{name}")
    return ()


def below(node: cst.CSTNode, parents: dict[cst.CSTNode, cst.CSTNode] | None = None) -> Iterator[cst.CSTNode]:
    """Yield a node and all below it in the order of the text; `parents` is told whose child each is."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        children = node.children
        if parents is not None:
            parents.update((child, node) for child in children)
        waiting.extend(reversed(children))


class _Changer(cst.CSTTransformer):
    def __init__(
        self, source: Source, plan: Mapping[cst.CSTNode, Change], said_above: cst.CSTNode | None, why: str
    ) -> None:
        super().__init__()
        self.source, self.plan, self.said_above, self.why = source, plan, said_above, why

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        """Change what is planned."""
        change = self.plan.get(original_node)
        if change is not None:
            updated_node = change(updated_node)
            if not self.source.bare(original_node, updated_node):
                updated_node = atom(updated_node)
        if original_node is self.said_above and self.why:
            comment = cst.EmptyLine(comment=cst.Comment(f"# {self.why}"))
            updated_node = updated_node.with_changes(leading_lines=[*updated_node.leading_lines, comment])
        return updated_node


def atom(value: cst.BaseExpression) -> cst.BaseExpression:
    """Return an expression that binds as a name does: operators get parentheses."""
    loose = (cst.BinaryOperation, cst.UnaryOperation, cst.BooleanOperation, cst.Comparison, cst.IfExp, cst.Lambda)
    if not isinstance(value, loose) or value.lpar:
        return value
    return value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
