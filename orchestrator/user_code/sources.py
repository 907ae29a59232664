"""Modules in users' folders: found, and read together with what they import, without being executed."""

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

from orchestrator.user_code.syntax import on_a_stack_of_its_own, syntax_digest

_NO_CODE = syntax_digest(b"")


@dataclass(frozen=True)
class Sources:
    """What a module's own file holds, and the files of its folder that it may import; each was read once.

    Attributes:
        own: path of the module's file.
        folder: absolute path.
        contents: of all these files, by path.
    """

    own: Path
    folder: str
    contents: Mapping[Path, bytes]

    @property
    def digests(self) -> dict[Path, str]:
        """SHA-256 of the syntax tree of each file that holds code, and of the module's own, in hex."""
        found = {file: syntax_digest(content) for file, content in self.contents.items()}
        return {file: digest for file, digest in found.items() if file == self.own or digest != _NO_CODE}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ``digests``, in hex; that of the module's own file where it is alone.

        The other files count by their paths inside the folder.
        """
        digests = self.digests
        own = digests.pop(self.own)
        others = sorted(
            f"{file.relative_to(self.folder).as_posix()} {digest}" for file, digest in digests.items()
        )
        return hashlib.sha256("\n".join([own, *others]).encode()).hexdigest() if others else own


def source(module: str, path: Sequence[str]) -> Path | None:
    """The file of a module below ``path``, found without importing anything; None if it is no ``.py``."""
    spec, folders = None, list(path)
    with suppress(ValueError):  # no file system has such a name
        for name in module.split("."):  # not dotted: Python would look up the package, which is not loaded
            spec = PathFinder.find_spec(name, folders)
            folders = list((spec and spec.submodule_search_locations) or ())
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def contents(module: str, folder: str) -> dict[Path, bytes]:
    """What the files of a module and of what it may import hold, as far as they are in the folder.

    Raises:
        OSError: one of them cannot be read.
    """
    found: dict[Path, bytes] = {}
    met: set[str] = set()
    waiting = [module]
    while waiting:
        names = [name for name in _meant(waiting.pop(), folder) if name not in met]
        met.update(names)
        for name in names:
            if file := source(name, [folder]):
                found[file] = file.read_bytes()
                waiting += _imported(found[file], _package(name, file))
    return found


def _meant(name: str, folder: str) -> Iterator[str]:
    """``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``; for ``a.*``, also all modules of the package ``a``."""
    package, _, last = name.rpartition(".")
    if last != "*":
        yield from accumulate(name.split("."), "{}.{}".format)
        return
    inside = Path(folder, *package.split("."))
    yield from (f"{package}.{module.name}" for module in pkgutil.iter_modules([str(inside)]))


def _package(module: str, file: Path) -> str:
    """The package that a module's relative imports start from."""
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


@lru_cache(maxsize=256)
def _imported(content: bytes, package: str) -> tuple[str, ...]:
    """What the ``import`` statements of a module in a folder may mean there."""
    names: list[str] = []
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):  # it is not executed either
        for node in ast.walk(on_a_stack_of_its_own(lambda: ast.parse(content))):
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
    """Whether Python itself, this package or an installed package has a module of this name."""
    installed = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    known = top in sys.stdlib_module_names or top == __name__.partition(".")[0]
    return known or PathFinder.find_spec(top, installed) is not None
