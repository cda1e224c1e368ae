"""Whether a model runs the same tensor operations in every step, as far as its source shows.

Only what is known to be harmless is accepted: a syntax, a name or an attribute that is not listed
here makes the answer no. No answer depends on the bytecode of one version of Python.
"""

import ast
import builtins
import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import torch
from torch import Tensor, nn

#: Syntax that can change nothing but local names and tensors.
_STATEMENTS = (
    *(ast.Return, ast.Expr, ast.Pass, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Assert),
    *(ast.If, ast.For, ast.While, ast.Break, ast.Continue, ast.With, ast.withitem),
)
_EXPRESSIONS = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.JoinedStr, ast.FormattedValue),
    *(ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.NamedExpr),
    *(ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
#: Builtin functions that a forward may call.
_BUILTINS = {"abs", "enumerate", "float", "int", "isinstance", "len", "list", "max", "min"}
_BUILTINS |= {"range", "reversed", "round", "sum", "tuple", "zip"}
#: Methods by which a class takes over how its attributes are read and how it is called.
_TAKEN_OVER = ("__getattr__", "__getattribute__", "__call__")
#: What torch keeps in a module for those who want to be called beside its forward.
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_static(model: nn.Module, loss: Callable[..., Tensor]) -> bool:
    """Whether every training step runs the same operations on tensors.

    Each `forward`, and the loss, is torch's own, or reads nothing but its arguments, constants,
    torch and the fixed attributes of modules, and changes nothing but local names. The answer is no
    for hooks, closures, random numbers of Python or numpy, counters, and code without a source.
    """
    parts = [*loss.modules()] if isinstance(loss, nn.Module) else []
    code = _Code([*model.modules(), *parts])
    return all(map(code.is_static_module, code.modules)) and code.is_static_loss(loss)


class _Code:
    """The code of a model's and a loss's modules."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules = modules
        #: Functions that are found static, or are being looked at.
        self._seen: set[CodeType] = set()
        self._attributes: dict[str, bool] = {}

    def is_static_module(self, module: nn.Module) -> bool:
        own = [one for one in type(module).__mro__ if not _is_torchs(one) and one is not object]
        taken = any(name in vars(one) for one in own for name in _TAKEN_OVER)
        if taken or any(vars(module).get(name) for name in _HOOKS) or "forward" in vars(module):
            return False
        return self._is_static_function(type(module).forward)

    def is_static_loss(self, loss: Callable[..., Tensor]) -> bool:
        if isinstance(loss, nn.Module):  # one of the modules
            return True
        if isinstance(loss, partial):
            given = [*loss.args, *loss.keywords.values()]
            return all(map(_is_constant, given)) and self.is_static_loss(loss.func)
        return self._is_static_function(loss)

    def _is_static_function(self, function: Callable[..., Tensor]) -> bool:
        if _is_torchs(function):
            return True
        if not isinstance(function, FunctionType) or function.__closure__:
            return False
        if function.__code__ in self._seen:
            return True
        self._seen.add(function.__code__)
        tree = _source(function)
        if tree is None:
            return False
        given = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        nodes = [node for statement in tree.body for node in ast.walk(statement)]
        return all(map(_is_constant, given)) and all(
            self._is_harmless(node, function) for node in nodes
        )

    def _is_harmless(self, node: ast.AST, function: FunctionType) -> bool:
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            return False
        if isinstance(node, ast.Name):
            return node.id in function.__code__.co_varnames or self._may_be_read(function, node.id)
        if isinstance(node, ast.Attribute):
            return self._is_fixed_attribute(node.attr)
        return isinstance(node, _STATEMENTS + _EXPRESSIONS)

    def _may_be_read(self, function: FunctionType, name: str) -> bool:
        """Whether a global name is always the same."""
        value = function.__globals__.get(name, vars(builtins).get(name))
        if _is_constant(value) or _is_torchs(value) or value is math:
            return True
        if isinstance(value, FunctionType):
            return self._is_static_function(value)
        return name in _BUILTINS and value is vars(builtins)[name]

    def _is_fixed_attribute(self, name: str) -> bool:
        """Whether an attribute of this name is always the same, whichever module has it.

        Which value an expression has is not followed: all modules are looked at.
        """
        if name not in self._attributes:
            fixed = not name.startswith("__") and all(
                self._is_fixed_in(module, name) for module in self.modules
            )
            self._attributes[name] = fixed
        return self._attributes[name]

    def _is_fixed_in(self, module: nn.Module, name: str) -> bool:
        if name in vars(module):
            value = vars(module)[name]
            if isinstance(value, FunctionType | BuiltinFunctionType | type):
                return _is_torchs(value)
            return _is_constant(value) or isinstance(value, Tensor)
        home = next((one for one in type(module).__mro__ if name in vars(one)), None)
        if home is None or _is_torchs(home):
            return True
        member = inspect.getattr_static(home, name)
        if isinstance(member, staticmethod):
            member = member.__func__
        return _is_constant(member) or self._is_static_function(member)


def _source(function: FunctionType) -> ast.FunctionDef | None:
    """The syntax of a function; None where the source at hand is not what was compiled.

    A file may have been edited since it was imported.
    """
    try:
        text = "".join(inspect.findsource(function)[0])
        module = ast.parse(text)
        compiled = compile(text, "", "exec", dont_inherit=True)
    except (OSError, TypeError, SyntaxError):
        return None
    code = function.__code__
    defined = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef))
    place = (code.co_name, code.co_firstlineno)
    found = [node for node in defined if (node.name, _first_line(node)) == place]
    same = [other for other in _codes(compiled) if other == code]
    return found[0] if len(found) == len(same) == 1 else None


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _codes(code: CodeType) -> Iterator[CodeType]:
    """All that is compiled inside of a module, a class or a function."""
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield value
            yield from _codes(value)


def _is_torchs(value: object) -> bool:
    """Whether it is a module, function or class of torch."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return str(name).split(".")[0] == "torch"


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    plain = bool | int | float | str | torch.dtype | torch.device | torch.Size
    return value is None or isinstance(value, plain)
