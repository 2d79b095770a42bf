"""Edits of source code: the call of an activation, lines at the end of a constructor, an import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst
from libcst import matchers
from libcst import matchers as m
from libcst.metadata import PositionProvider

_CLASSES = {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "softsign": "Softsign", "hardtanh": "Hardtanh", "elu": "ELU",
    "selu": "SELU", "gelu": "GELU", "silu": "SiLU", "leaky_relu": "LeakyReLU", "softplus": "Softplus", "mish": "Mish",
    "softmax": "Softmax", "log_softmax": "LogSoftmax",
}  # fmt: skip
# `torch.tanh`, `x.tanh()`, `F.tanh`; the others stand in torch.nn.functional alone.
OF_TORCH = ("tanh", "relu", "sigmoid")


class ActivationEdit(cst.CSTTransformer):
    """Replaces an activation, normalises its argument, or removes the call.

    On the given lines: `torch.sigmoid(x)`, `F.sigmoid(x)`, `sigmoid(x)`, `x.sigmoid()`. With `modules`, every
    `nn.Sigmoid()` in the file.

    Args:
        operation: what stands there now.
        becomes: the operation that takes its place; '' keeps it.
        lines: line numbers of the calls.
        modules: whether activations are modules, changed where they are made.
        normalise: put a layer normalisation without parameters around the argument.
    """

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, operation: str, becomes: str, lines: set[int], modules: bool, *, normalise: bool) -> None:
        super().__init__()
        self.operation, self.becomes, self.lines, self.modules, self.normalise = (
            operation,
            becomes,
            lines,
            modules,
            normalise,
        )
        self.found: set[int] = set()
        self.imported: set[str] = set()
        self.made = 0

    @property
    def complete(self) -> bool:
        """Whether every line held the call, and a module was found where one was expected."""
        return self.found == self.lines and (self.made > 0 or not self.modules)

    def visit_ImportAlias(self, node: cst.ImportAlias) -> None:
        """Remember what the module imports: `F` in `F.relu(x)` is no value."""
        self.imported.add(node.evaluated_alias or node.evaluated_name.split(".")[0])

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        """Edit one call."""
        position: Any = self.get_metadata(PositionProvider, original_node)
        on_line = any(position.start.line <= line <= position.end.line for line in self.lines)
        name = _called(updated_node.func)
        if on_line and name == self.operation:
            self.found.update(line for line in self.lines if position.start.line <= line <= position.end.line)
            return self._edited(updated_node)
        if self.modules and name == _CLASSES.get(self.operation, "") and not self.normalise:
            self.made += 1
            other = _CLASSES[self.becomes] if self.becomes else "Identity"
            return updated_node.with_changes(func=_renamed(updated_node.func, other), args=[])
        return updated_node

    def _edited(self, call: cst.Call) -> cst.BaseExpression:
        value = call.func.value if isinstance(call.func, cst.Attribute) else None
        method = value is not None and _root(value) not in self.imported  # z.softmax(dim=1), not F.softmax(z, dim=1)
        if not self.becomes and not self.normalise:  # hand through
            return value if method and value is not None else call.args[0].value
        if self.normalise:
            argument = value if method and value is not None else call.args[0].value
            plain = cst.Module([]).code_for_node(argument)
            normal = cst.parse_expression(f"torch.nn.functional.layer_norm({plain}, ({plain}).shape[-1:])")
            if method and isinstance(call.func, cst.Attribute):
                return call.with_changes(func=call.func.with_changes(value=normal))
            return call.with_changes(args=[call.args[0].with_changes(value=normal), *call.args[1:]])
        if self.becomes not in OF_TORCH:
            argument = value if method and value is not None else call.args[0].value
            function = cst.parse_expression(f"torch.nn.functional.{self.becomes}")
            return cst.Call(func=function, args=[cst.Arg(argument)])
        if method:
            return call.with_changes(func=_renamed(call.func, self.becomes))
        if isinstance(call.func, cst.Name):
            return call.with_changes(func=cst.parse_expression(f"torch.{self.becomes}"), args=call.args[:1])
        return call.with_changes(func=_renamed(call.func, self.becomes), args=call.args[:1])


class ReferenceEdit(cst.CSTTransformer):
    """Replaces what is not called by its name: `act=torch.sigmoid`, `kind = nn.Sigmoid if logistic else nn.Tanh`.

    An entry of a dict stays: there the name under which it is kept would no longer fit. `made` counts the places.
    """

    def __init__(self, operation: str, becomes: str) -> None:
        super().__init__()
        self.names = {operation: becomes, _CLASSES.get(operation, ""): _CLASSES.get(becomes, "")}
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
        if original_node in self._left or not self.names.get(name) or _root(original_node) not in _NAMESPACES:
            return updated_node
        self.made += 1
        if _root(original_node) == "F":
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
        wanted = [{name, _CLASSES.get(name, "")} for name in (operation, becomes)]
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
                    if last in names and _root(value) in (*_NAMESPACES, last):
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


def _root(value: cst.BaseExpression) -> str:
    """Return the leftmost name of `a.b.c`; '' of anything else."""
    while isinstance(value, cst.Attribute):
        value = value.value
    return value.value if isinstance(value, cst.Name) else ""


def _called(function: cst.BaseExpression) -> str:
    if isinstance(function, cst.Attribute):
        return function.attr.value
    return function.value if isinstance(function, cst.Name) else ""


def _renamed(function: cst.BaseExpression, name: str) -> cst.BaseExpression:
    if isinstance(function, cst.Attribute):
        return function.with_changes(attr=cst.Name(name))
    return cst.Name(name)


class Insertion(cst.CSTTransformer):
    """Puts lines at the end of a class's `__init__`, or before the last `return` of a function.

    Args:
        owner: 'class' or 'function'.
        name: of that class or function.
        lines: given the variable that holds the network, returns the lines.
    """

    def __init__(self, owner: str, name: str, lines: Callable[[str], Sequence[str]]) -> None:
        super().__init__()
        self.owner, self.name, self.lines = owner, name, lines
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
        self.done = True
        if isinstance(returned, cst.Name):
            return self._with(node, body[:-1], returned.value, last)
        given = cst.parse_statement("model = None")
        assignment: Any = given.with_changes(body=[given.body[0].with_changes(value=returned)])  # pyright: ignore
        return self._with(node, [*body[:-1], assignment], "model", cst.parse_statement("return model"))


def _opened(node: cst.FunctionDef) -> cst.FunctionDef:
    """Return the function with a line for each statement, where all stand after the colon: `def f(self): a(); b()`."""
    if not isinstance(node.body, cst.SimpleStatementSuite):
        return node
    alone = [one.with_changes(semicolon=cst.MaybeSentinel.DEFAULT) for one in node.body.body]
    lines = [cst.SimpleStatementLine(body=[statement]) for statement in alone]
    return node.with_changes(body=cst.IndentedBlock(body=lines))


_TORCH = m.ImportAlias(name=m.Name("torch"), asname=None)


class ImportTorch(cst.CSTTransformer):
    """Adds `import torch` after the docstring and the `__future__` imports, if the module lacks it and needs it."""

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        """Add the import."""
        imports = m.findall(updated_node, m.Import(names=[m.ZeroOrMore(), _TORCH, m.ZeroOrMore()]))
        if imports or not m.findall(updated_node, m.Attribute(value=m.Name("torch"))):
            return updated_node
        body = list(updated_node.body)
        place = 0
        for index, statement in enumerate(body):
            docstring = index == 0 and m.matches(statement, m.SimpleStatementLine(body=[m.Expr(m.SimpleString())]))
            future = m.matches(statement, m.SimpleStatementLine(body=[m.ImportFrom(module=m.Name("__future__"))]))
            if docstring or future:
                place = index + 1
        statement = cst.parse_statement("import torch\n")
        return updated_node.with_changes(body=[*body[:place], statement, *body[place:]])
