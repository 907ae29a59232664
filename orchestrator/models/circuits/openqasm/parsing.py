"""OpenQASM 3: from text to a syntax tree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from openqasm3._antlr.qasm3Lexer import qasm3Lexer
from openqasm3._antlr.qasm3Parser import qasm3Parser
from openqasm3.parser import QASM3ParsingError, QASMNodeVisitor

from orchestrator.models.circuits.openqasm.refusal import Refusal

if TYPE_CHECKING:
    from openqasm3 import ast

_POSITION = re.compile(r"L(?P<line>\d+):C(?P<column>\d+): (?P<reason>.*)", re.DOTALL)
_MOST_EXPECTED = 4
"""Limit of legal continuations that a message lists; with more, it lists none."""


def parse(text: str) -> ast.Program:
    """Parses an OpenQASM 3 program.

    Raises:
        Refusal: at the first position that is not OpenQASM 3.
    """
    parser = qasm3Parser(CommonTokenStream(_raising(qasm3Lexer(InputStream(text)))))
    try:
        return QASMNodeVisitor().visitProgram(  # type: ignore[no-untyped-call]
            _raising(parser).program()
        )
    except QASM3ParsingError as error:
        match = _POSITION.match(str(error))
        if not match:
            raise Refusal(0, 0, str(error)) from error
        raise Refusal(int(match["line"]), int(match["column"]) + 1, match["reason"]) from error


def _raising(recognizer: Any) -> Any:
    """Makes a lexer or parser raise at the first error, and print nothing."""
    recognizer.removeErrorListeners()
    recognizer.addErrorListener(_RaisingListener())
    return recognizer


class _RaisingListener(ErrorListener):
    def syntaxError(  # noqa: N802 - ANTLR's name
        self,
        recognizer: Any,  # noqa: ARG002
        offendingSymbol: Any,  # noqa: N803
        line: int,
        column: int,
        msg: str,
        e: Any,  # noqa: ARG002
    ) -> None:
        raise Refusal(line, column + 1, _reason(offendingSymbol, msg))


def _reason(token: Any, message: str) -> str:
    """Rewrites ANTLR's message in plain words."""
    if token is None:  # the lexer's: token recognition error at: 'x'
        return f"{message.partition(' at: ')[2]!s:.20} is not OpenQASM".replace("\n", " ")
    here = "the end of the file" if token.text == "<EOF>" else repr(token.text)
    if message.startswith("missing "):
        return f"{message.removeprefix('missing ').partition(' at ')[0]} is missing before {here}"
    expected = message.partition(" expecting ")[2].strip("{}").split(", ")
    legal = f" (legal: {', '.join(expected)})" if expected != [""] and len(expected) <= _MOST_EXPECTED else ""
    return f"{here} is not legal here{legal}"
