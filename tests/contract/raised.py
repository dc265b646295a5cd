"""Which rules the source refuses under: read from the source itself, following a `rule` that is handed on."""

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Call:
    """A call, and the function in which it stands."""

    call: ast.Call
    inside: Function | None


@dataclass
class Source:
    """The calls of a tree of modules by the name that is called, and its functions that take a `rule`."""

    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    takers: dict[str, Function] = field(default_factory=dict)

    def read(self, node: ast.AST, inside: Function | None = None) -> None:
        if isinstance(node, Function):
            inside = node
            if any(argument.arg == "rule" for argument in (*node.args.args, *node.args.kwonlyargs)):
                assert node.name not in self.takers, f"two functions {node.name} take a rule"
                self.takers[node.name] = node
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            self.calls[name].append(Call(node, inside))
        for child in ast.iter_child_nodes(node):
            self.read(child, inside)

    def rules(self, name: str) -> set[str]:
        """The rules with which a refusal of that name is made."""
        return {rule for call in self.calls[name] for rule in self._given(call, self._keyword(call))}

    def _given(self, call: Call, value: ast.expr) -> Iterator[str]:
        match value:
            case ast.Constant(value=str(rule)):
                yield rule
            case ast.IfExp():
                yield from self._given(call, value.body)
                yield from self._given(call, value.orelse)
            case ast.Name(id="rule") if call.inside is not None:
                for outer in self.calls[call.inside.name]:
                    yield from self._given(outer, self._handed(outer, call.inside))
            case _:
                raise AssertionError(f"line {value.lineno}: cannot tell which rule {ast.unparse(value)} is")

    def _keyword(self, call: Call) -> ast.expr:
        for keyword in call.call.keywords:
            if keyword.arg == "rule":
                return keyword.value
        raise AssertionError(f"no rule in {ast.unparse(call.call)}")

    def _handed(self, call: Call, taker: Function) -> ast.expr:
        """The rule that a call hands to a function: by keyword, by place, or by default."""
        names = [argument.arg for argument in taker.args.args]
        by_keyword = {keyword.arg: keyword.value for keyword in call.call.keywords}
        if "rule" in by_keyword:
            return by_keyword["rule"]
        if "rule" in names and names.index("rule") < len(call.call.args):
            return call.call.args[names.index("rule")]
        defaults = zip([a.arg for a in taker.args.kwonlyargs], taker.args.kw_defaults, strict=True)
        default = dict(defaults).get("rule")
        assert default is not None, f"{ast.unparse(call.call)} hands no rule on"
        return default


def rules_in(folder: Path, names: Collection[str]) -> dict[str, set[str]]:
    """For each refusal's name the rules with which the modules below a folder make it."""
    source = Source()
    for path in sorted(folder.rglob("*.py")):
        source.read(ast.parse(path.read_text(), str(path)))
    return {name: source.rules(name) for name in names}
