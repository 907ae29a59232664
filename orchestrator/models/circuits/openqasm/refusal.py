"""What cannot be read, with its place in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openqasm3 import ast


class Refusal(Exception):  # noqa: N818 - becomes a fault of an InputError
    """One thing that cannot be read.

    Attributes:
        line: counted from 1; 0 where there is none.
        column: counted from 1.
        reason: what is wrong, and what would be legal.
        unknown: the name that is not declared, if that is what is wrong.
    """

    def __init__(self, line: int, column: int, reason: str, unknown: str = "") -> None:
        super().__init__(line, column, reason, unknown)
        self.line, self.column, self.reason, self.unknown = line, column, reason, unknown

    @classmethod
    def at(cls, node: ast.QASMNode, reason: str, unknown: str = "") -> Refusal:
        """The refusal of a node of the syntax tree, whose columns count from 0."""
        if node.span is None:
            return cls(0, 0, reason, unknown)
        return cls(node.span.start_line, node.span.start_column + 1, reason, unknown)

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}" if self.line else self.reason
