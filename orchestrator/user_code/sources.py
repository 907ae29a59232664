"""Finds modules in users' folders, and reads them and the modules that they import; executes nothing."""

from __future__ import annotations

import ast
import hashlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path

from orchestrator.user_code.syntax import on_a_new_stack, syntax_digest

_NO_CODE = syntax_digest(b"")


@dataclass(frozen=True)
class Sources:
    """The content of a module's file, and of the files in its folder that it may import; each is read once.

    Attributes:
        own: path of the module's file.
        folder: absolute path.
        contents: content of all these files, by path.
    """

    own: Path
    folder: str
    contents: Mapping[Path, bytes]

    @property
    def digests(self) -> dict[Path, str]:
        """SHA-256 of the syntax tree, in hex: of each file that contains code, and of the module's file."""
        digests = {file: syntax_digest(content) for file, content in self.contents.items()}
        return {file: digest for file, digest in digests.items() if file == self.own or digest != _NO_CODE}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ``digests``, in hex; of a module without imports, the digest of its file.

        The hash covers the other files' digests with their paths inside the folder.
        """
        digests = self.digests
        own = digests.pop(self.own)
        others = sorted(
            f"{file.relative_to(self.folder).as_posix()} {digest}" for file, digest in digests.items()
        )
        return hashlib.sha256("\n".join([own, *others]).encode()).hexdigest() if others else own


def find_source(module: str, path: Sequence[str]) -> Path | None:
    """Returns the file of a module below ``path`` without any import; None if it is no ``.py`` file."""
    spec, folders = None, list(path)
    with suppress(ValueError):  # no file system has such a name
        for name in module.split(
            "."
        ):  # one part at a time: for a dotted name, Python would look up the package, which is not loaded
            spec = PathFinder.find_spec(name, folders)
            folders = list((spec and spec.submodule_search_locations) or ())
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def read_contents(module: str, folder: str) -> dict[Path, bytes]:
    """Returns the content of the files of a module and its possible imports that are in the folder.

    Raises:
        OSError: a file cannot be read.
    """
    read: dict[Path, bytes] = {}
    visited: set[str] = set()
    queue = [module]
    while queue:
        names = [name for name in _modules_of(queue.pop(), folder) if name not in visited]
        visited.update(names)
        for name in names:
            if file := find_source(name, [folder]):
                read[file] = file.read_bytes()
                queue += _imported(read[file], _package(name, file))
    return read


def _modules_of(name: str, folder: str) -> Iterator[str]:
    """Yields ``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``; for ``a.*``, all modules of the package ``a``."""
    package, _, last = name.rpartition(".")
    if last != "*":
        yield from accumulate(name.split("."), "{}.{}".format)
        return
    inside = Path(folder, *package.split("."))
    yield from (f"{package}.{module.name}" for module in pkgutil.iter_modules([str(inside)]))


def _package(module: str, file: Path) -> str:
    """Returns the package at which a module's relative imports start."""
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


@lru_cache(maxsize=256)
def _imported(content: bytes, package: str) -> tuple[str, ...]:
    """Returns the names of modules that the ``import`` statements of a module may mean in its folder."""
    names: list[str] = []
    with suppress(
        SyntaxError, ValueError, RecursionError, MemoryError
    ):  # such a module cannot be executed either
        for node in ast.walk(on_a_new_stack(lambda: ast.parse(content))):
            if isinstance(node, ast.Import):
                imported = (alias.name for alias in node.names)
                names += [name for name in imported if not belongs_to_python(name.partition(".")[0])]
            elif isinstance(node, ast.ImportFrom):
                names += _imported_from(node, package)
    return tuple(names)


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    origin = node.module or ""
    if node.level:
        try:
            origin = resolve_name("." * node.level + origin, package)
        except ImportError:  # above the folder
            return
    elif belongs_to_python(origin.partition(".")[0]):
        return
    yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


def belongs_to_python(top: str) -> bool:
    """Returns whether Python itself, this package or an installed package has a module of this name."""
    installed = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    known = top in sys.stdlib_module_names or top == __name__.partition(".")[0]
    return known or PathFinder.find_spec(top, installed) is not None
