"""Edits of source code: names that are handed on or looked up, lines at the end of a constructor, an import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst
from libcst import matchers
from libcst import matchers as m

from photic.remedies.constructions import CLASSES
from photic.remedies.source import below, called, root


class ReferenceEdit(cst.CSTTransformer):
    """Replaces what is not called by its name: `act=torch.sigmoid`, `kind = nn.Sigmoid if logistic else nn.Tanh`.

    An entry of a dict stays: there the name under which it is kept would no longer fit. `made` counts the places.
    """

    def __init__(self, operation: str, becomes: str) -> None:
        super().__init__()
        self.names = {operation: becomes, CLASSES.get(operation, ""): CLASSES.get(becomes, "")}
        self.made = 0
        self._left: set[cst.CSTNode] = set()

    def visit_Call(self, node: cst.Call) -> None:
        """Leave what is called by its name."""
        self._left.add(node.func)

    def visit_DictElement(self, node: cst.DictElement) -> bool:
        """Leave the entries of dicts."""
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        """Leave imports."""
        return False

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        """Rename `torch.sigmoid`, `F.sigmoid`, `nn.Sigmoid`."""
        name = original_node.attr.value
        if original_node in self._left or not self.names.get(name) or root(original_node) not in _NAMESPACES:
            return updated_node
        self.made += 1
        if root(original_node) == "F":
            return cst.parse_expression(f"torch.{self.names[name]}")
        return updated_node.with_changes(attr=cst.Name(self.names[name]))


_NAMESPACES = ("torch", "nn", "F")


class KeyEdit(cst.CSTTransformer):
    """Replaces the key under which an activation is looked up: `Net(act="sigmoid")` where a dict has both.

    The dict maps words to functions or modules: `{"sigmoid": torch.sigmoid, "tanh": torch.tanh}`; it stays. `made` counts
    the words replaced; 0 where no dict has both.
    """

    def __init__(self, tree: cst.Module, operation: str, becomes: str) -> None:
        super().__init__()
        wanted = [{name, CLASSES.get(name, "")} for name in (operation, becomes)]
        self.old, self.new, self.made = "", "", 0
        for found in matchers.findall(tree, matchers.Dict()):
            assert isinstance(found, cst.Dict)
            old, new = (self._key(found, names) for names in wanted)
            if old and new:
                self.old, self.new = old, new

    @staticmethod
    def _key(entries: cst.Dict, names: set[str]) -> str:
        for entry in entries.elements:
            if isinstance(entry, cst.DictElement) and isinstance(entry.key, cst.SimpleString):
                value = entry.value.func if isinstance(entry.value, cst.Call) else entry.value
                if isinstance(value, (cst.Attribute, cst.Name)):
                    last = value.attr.value if isinstance(value, cst.Attribute) else value.value
                    if last in names and root(value) in (*_NAMESPACES, last):
                        return entry.key.value
        return ""

    def visit_Dict(self, node: cst.Dict) -> bool:
        """Leave the dict."""
        return False

    def leave_SimpleString(self, original_node: cst.SimpleString, updated_node: cst.SimpleString) -> cst.SimpleString:
        """Replace the word."""
        if not self.old or original_node.raw_value != self.old[1:-1]:
            return updated_node
        self.made += 1
        return updated_node.with_changes(value=f"{original_node.quote}{self.new[1:-1]}{original_node.quote}")


class Insertion(cst.CSTTransformer):
    """Puts lines at the end of a class's `__init__`, or before the last `return` of a function.

    Args:
        owner: 'class' or 'function'.
        name: of that class or function.
        kind: class of the network.
        lines: given the variable that holds the network, returns the lines.
    """

    def __init__(self, owner: str, name: str, kind: str, lines: Callable[[str], Sequence[str]]) -> None:
        super().__init__()
        self.owner, self.name, self.kind, self.lines = owner, name, kind, lines
        self.inside: list[str] = []
        self.done = False

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        """Remember the class we are in."""
        self.inside.append(node.name.value)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        """Leave the class."""
        self.inside.pop()
        return updated_node

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        """Insert the lines if this is the place."""
        name = updated_node.name.value
        if self.owner == "class" and name == "__init__" and self.inside == [self.name] and not self.done:
            self.done = True
            first = updated_node.params.params[0].name.value if updated_node.params.params else "self"
            updated_node = _opened(updated_node)
            return self._with(updated_node, list(updated_node.body.body), first)
        if self.owner == "function" and name == self.name and not self.inside and not self.done:
            return self._before_return(_opened(updated_node))
        return updated_node

    def _with(self, node: cst.FunctionDef, body: list[Any], variable: str, *ending: Any) -> cst.FunctionDef:
        new = cst.parse_module("\n".join(self.lines(variable)) + "\n").body
        header = cst.parse_module(self.lines(variable)[0] + "\n").header
        first = new[0].with_changes(leading_lines=[*header, *new[0].leading_lines])
        return node.with_changes(body=node.body.with_changes(body=[*body, first, *new[1:], *ending]))

    def _before_return(self, node: cst.FunctionDef) -> cst.FunctionDef:
        body = list(node.body.body)
        last = body[-1] if body else None
        if last is None or not m.matches(last, m.SimpleStatementLine(body=[m.Return()])):
            return node
        returned: Any = last.body[0].value  # pyright: ignore
        if returned is None:
            return node
        whole = self._whole(returned)
        self.done = whole is returned or isinstance(whole, cst.Name)
        if isinstance(whole, cst.Name):
            return self._with(node, body[:-1], whole.value, last)
        if not self.done:
            return node
        given = cst.parse_statement("model = None")
        assignment: Any = given.with_changes(body=[given.body[0].with_changes(value=returned)])  # pyright: ignore
        return self._with(node, [*body[:-1], assignment], "model", cst.parse_statement("return model"))

    def _whole(self, returned: cst.BaseExpression) -> cst.BaseExpression:
        """Return the network among what is returned: `model`, `model, batches, loss`, `Setup(model, ...)`."""
        if isinstance(returned, cst.Tuple) and returned.elements:
            return returned.elements[0].value
        given = returned.args[0].value if isinstance(returned, cst.Call) and returned.args else None
        if isinstance(returned, cst.Call) and isinstance(given, cst.Name) and called(returned.func) != self.kind:
            return given
        return returned


def _opened(node: cst.FunctionDef) -> cst.FunctionDef:
    """Return the function with a line for each statement, where all stand after the colon: `def f(self): a(); b()`."""
    if not isinstance(node.body, cst.SimpleStatementSuite):
        return node
    alone = [one.with_changes(semicolon=cst.MaybeSentinel.DEFAULT) for one in node.body.body]
    lines = [cst.SimpleStatementLine(body=[statement]) for statement in alone]
    return node.with_changes(body=cst.IndentedBlock(body=lines))


_TORCH = m.ImportAlias(name=m.Name("torch"), asname=None)


def _imports_torch(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Import) and any(m.matches(alias, _TORCH) for alias in node.names)


def with_torch(tree: cst.Module) -> cst.Module:
    """Return the module with `import torch` after its docstring and the `__future__` imports, if it lacks it and needs it."""
    body = list(tree.body)
    lines = [line for line in body if isinstance(line, cst.SimpleStatementLine)]
    if any(_imports_torch(statement) for line in lines for statement in line.body):
        return tree
    nodes = list(below(tree))
    needs = any(isinstance(node, cst.Attribute) and m.matches(node.value, m.Name("torch")) for node in nodes)
    if not needs or any(map(_imports_torch, nodes)):
        return tree
    place = 0
    for index, statement in enumerate(body):
        docstring = index == 0 and m.matches(statement, m.SimpleStatementLine(body=[m.Expr(m.SimpleString())]))
        future = m.matches(statement, m.SimpleStatementLine(body=[m.ImportFrom(module=m.Name("__future__"))]))
        if docstring or future:
            place = index + 1
    return tree.with_changes(body=[*body[:place], cst.parse_statement("import torch\n"), *body[place:]])
