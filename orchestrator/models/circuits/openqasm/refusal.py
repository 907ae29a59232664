"""Refusals: why a part of a file cannot be read, with its position."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openqasm3 import ast


class Refusal(Exception):  # noqa: N818 - becomes a fault of an InputError
    """A part of a file that cannot be read.

    Attributes:
        line: counted from 1; 0 if the whole file is refused.
        column: counted from 1.
        reason: what is wrong, and what is legal.
        unknown: the undeclared name, if that is the reason.
    """

    def __init__(self, line: int, column: int, reason: str, unknown: str = "") -> None:
        super().__init__(line, column, reason, unknown)
        self.line, self.column, self.reason, self.unknown = line, column, reason, unknown

    @classmethod
    def at(cls, node: ast.QASMNode, reason: str, unknown: str = "") -> Refusal:
        """Returns the refusal of a node of the syntax tree, whose columns count from 0."""
        if node.span is None:
            return cls(0, 0, reason, unknown)
        return cls(node.span.start_line, node.span.start_column + 1, reason, unknown)

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}" if self.line else self.reason
