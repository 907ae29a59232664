"""OpenQASM 2 (Cross et al. 2017, arXiv 1707.03429): from text to the syntax tree that OpenQASM 3 has."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from openqasm3 import ast

from orchestrator.models.circuits.openqasm.qelib1 import QELIB1
from orchestrator.models.circuits.openqasm.refusal import Refusal
from orchestrator.models.circuits.openqasm.scopes import Operand

_TOKEN = re.compile(
    r"""(?P<blank>(?:\s|//[^\n]*)+)
    | (?P<string>"[^"\n]*")
    | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>->|==|[;,(){}\[\]+\-*/^])""",
    re.VERBOSE | re.ASCII,
)
_FUNCTIONS = {"ln": "log", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}
"""Functions that have another name in OpenQASM 3."""

_DECLARING = ("gate", "opaque", "qreg", "creg")
_LEVELS = (("+", "-"), ("*", "/"))
"""Signs between operands, from lowest to highest precedence."""

NodeT = TypeVar("NodeT", bound=ast.QASMNode)


@dataclass(frozen=True)
class Token:
    """A piece of text, empty at the end of the file. Line and column count from 1, the offset from 0."""

    kind: str
    text: str
    line: int
    column: int
    offset: int


def parse(text: str, reserved: Container[str] = ()) -> ast.Program:
    """Parses an OpenQASM 2 program.

    Args:
        reserved: names that no gate or register may have; such a name gets ``_`` appended.

    Raises:
        Refusal: at the first position that is not OpenQASM 2.
    """
    return _Parser(text, reserved).program()


@cache
def library() -> dict[str, ast.QuantumGateDefinition]:
    """Returns the gates of ``qelib1.inc`` that ``stdgates.inc`` lacks, by name."""
    definitions = [node for node in parse(QELIB1).statements if isinstance(node, ast.QuantumGateDefinition)]
    return {node.name.name: node for node in definitions}


def tokens(text: str) -> Iterator[Token]:
    """Yields the tokens of a text without blanks and comments, then one of kind ``end``."""
    position, line, begin = 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise Refusal(line, position - begin + 1, f"{text[position]!r} is not OpenQASM 2")
        if match.lastgroup != "blank":
            yield Token(str(match.lastgroup), match[0], line, position - begin + 1, position)
        elif "\n" in match[0]:
            line += match[0].count("\n")
            begin = position + match[0].rindex("\n") + 1
        position = match.end()
    yield Token("end", "", line, position - begin + 1, position)


def declared(text: str) -> set[str]:
    """Returns the names that a program gives to gates and registers."""
    every_token = list(tokens(text))
    return {name.text for keyword, name in pairwise(every_token) if keyword.text in _DECLARING}


class _Parser:
    def __init__(self, text: str, reserved: Container[str]) -> None:
        clashing = {name for name in declared(text) if name in reserved}
        self._tokens = [
            replace(token, text=f"{token.text}_") if token.text in clashing else token
            for token in tokens(text)
        ]
        self._next = 0

    def program(self) -> ast.Program:
        statements: list[ast.Statement | ast.Pragma] = []
        if self._skip("OPENQASM"):
            self._take("number")
            self._expect(";")
        while self._token.kind != "end":
            if not self._skip(";"):
                statements.append(self._with_span(self._statement))
        return ast.Program(statements, "2.0")

    # Statements.

    def _statement(self) -> ast.Statement:
        match self._take("name").text:
            case "include":
                return self._end(ast.Include(self._take("string").text.strip('"')))
            case "qreg":
                return self._end(ast.QubitDeclaration(self._name(), self._size()))
            case "creg":
                name = self._name()
                return self._end(ast.ClassicalDeclaration(ast.BitType(self._size()), name, None))
            case "gate":
                return self._definition()
            case "opaque":
                return self._opaque()
            case "measure":
                measure = ast.QuantumMeasurement(self._operand())
                self._expect("->")
                return self._end(ast.QuantumMeasurementStatement(measure, self._operand()))
            case "if":
                return self._conditional()
            case "reset":
                return self._end(ast.QuantumReset(self._operand()))
            case name:
                return self._gate_call(name)

    def _definition(self) -> ast.Statement:
        name, formals, qubits = self._signature()
        self._expect("{")
        body: list[Any] = []
        while not self._skip("}"):
            body.append(self._with_span(lambda: self._gate_call(self._take("name").text)))
        return ast.QuantumGateDefinition(name, formals, qubits, body)

    def _opaque(self) -> ast.Statement:
        name, _, _ = self._signature()
        return self._end(ast.ExternDeclaration(name, []))

    def _signature(self) -> tuple[ast.Identifier, list[ast.Identifier], list[ast.Identifier]]:
        name = self._name()
        return name, self._parenthesised(self._name), self._comma_separated(self._name)

    def _conditional(self) -> ast.Statement:
        self._expect("(")
        name = self._name()
        self._expect("==")
        self._take("number")
        self._expect(")")
        return ast.BranchingStatement(name, [self._statement()], [])

    def _gate_call(self, name: str) -> ast.Statement:
        """Parses the call of a gate, or a barrier."""
        if name == "barrier":
            return self._end(ast.QuantumBarrier(self._comma_separated(self._operand)))
        arguments = self._parenthesised(self._expression)
        return self._end(
            ast.QuantumGate([], ast.Identifier(name), arguments, self._comma_separated(self._operand))
        )

    def _end(self, statement: ast.Statement) -> ast.Statement:
        self._expect(";")
        return statement

    # Names and operands.

    def _name(self) -> ast.Identifier:
        return self._with_span(lambda: ast.Identifier(self._take("name").text))

    def _size(self) -> ast.Expression:
        self._expect("[")
        size = self._with_span(lambda: ast.IntegerLiteral(self._whole()))
        self._expect("]")
        return size

    def _whole(self) -> int:
        token = self._take("number")
        if not token.text.isdigit() or len(token.text) > 18:
            raise Refusal(token.line, token.column, f"is {token.text:.20}, must be a whole number")
        return int(token.text)

    def _operand(self) -> Operand:
        def operand() -> Operand:
            name = self._name()
            return ast.IndexedIdentifier(name, [[self._size()]]) if self._token.text == "[" else name

        start = self._token
        return _at(start, operand())

    def _parenthesised(self, item: Callable[[], NodeT]) -> list[NodeT]:
        """Parses items in parentheses; none if there are no parentheses."""
        if not self._skip("(") or self._skip(")"):
            return []
        items = self._comma_separated(item)
        self._expect(")")
        return items

    def _comma_separated(self, item: Callable[[], Any]) -> list[Any]:
        items = [item()]
        while self._skip(","):
            items.append(item())
        return items

    # Angles.

    def _expression(self, level: int = 0) -> ast.Expression:
        start = self._token
        left = self._expression(level + 1) if level + 1 < len(_LEVELS) else self._negative()
        while self._token.text in _LEVELS[level]:
            sign = ast.BinaryOperator[self._take("sign").text]
            right = self._expression(level + 1) if level + 1 < len(_LEVELS) else self._negative()
            left = _at(start, ast.BinaryExpression(sign, left, right))
        return left

    def _negative(self) -> ast.Expression:
        start = self._token
        if self._skip("-"):
            return _at(start, ast.UnaryExpression(ast.UnaryOperator["-"], self._negative()))
        if self._skip("+"):
            return self._negative()
        base = self._with_span(self._atom)
        if self._skip("^"):
            return _at(start, ast.BinaryExpression(ast.BinaryOperator["**"], base, self._negative()))
        return base

    def _atom(self) -> ast.Expression:
        if self._skip("("):
            inner = self._expression()
            self._expect(")")
            return inner
        if self._token.kind == "number":
            return ast.FloatLiteral(float(self._take("number").text))
        name = self._take("name").text
        if self._token.text != "(":
            return ast.Identifier(name)
        return ast.FunctionCall(
            ast.Identifier(_FUNCTIONS.get(name, name)), self._parenthesised(self._expression)
        )

    # Tokens.

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _skip(self, text: str) -> bool:
        matches = self._token.text == text
        self._next += matches
        return matches

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            self._refuse(f"'{text}' is missing before")

    def _take(self, kind: str) -> Token:
        if self._token.kind != kind:
            self._refuse(f"a {kind} is missing before")
        self._next += 1
        return self._tokens[self._next - 1]

    def _refuse(self, reason: str) -> None:
        token = self._token
        here = f"'{token.text:.20}'" if token.text else "the end of the file"
        raise Refusal(token.line, token.column, f"{reason} {here}")

    def _with_span(self, read: Callable[[], NodeT]) -> NodeT:
        start = self._token
        return _at(start, read())


def _at(token: Token, node: NodeT) -> NodeT:
    """Gives a node the position of a token; in the tree, columns count from 0."""
    node.span = ast.Span(token.line, token.column - 1, token.line, token.column - 1)
    return node
