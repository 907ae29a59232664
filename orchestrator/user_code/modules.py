"""Modules in users' folders: found without being executed, and executed under a name of their own."""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec, resolve_name
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.user_code.trust import link, trusted

ROOT = "_user_code_"
"""What the names of these modules begin with; eight hex digits for the folder, and a dot, follow."""


def source(module: str, path: Sequence[str]) -> Path | None:
    """The file of a module below ``path``, found without importing anything; None if it is no ``.py``."""
    importlib.invalidate_caches()
    spec, places = None, list(path)
    with suppress(ValueError):  # no file system has such a name
        for name in module.split("."):  # not dotted: Python would look up the package, which is not loaded
            spec = PathFinder.find_spec(name, places)
            places = list((spec and spec.submodule_search_locations) or ())
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def files(module: str, folder: str) -> list[Path]:
    """The files of a module and of what it may import, as far as they are in the folder."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        for name in _with_parents(waiting.pop()):
            file = None if name in found else source(name, [folder])
            if file:
                found[name] = file
                waiting += _imported(name, file)
    return sorted(found.values())


def _with_parents(module: str) -> Iterator[str]:
    """``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    return accumulate(module.split("."), "{}.{}".format)


def _imported(module: str, file: Path) -> Iterator[str]:
    """What the ``import`` statements of a module in a folder may mean there."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    with suppress(OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # it is not executed either
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                yield from (name for name in names if not _belongs_to_python(name.partition(".")[0]))
            elif isinstance(node, ast.ImportFrom):
                yield from _imported_from(node, package)


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    origin = node.module or ""
    if node.level:
        try:
            origin = resolve_name("." * node.level + origin, package)
        except ImportError:  # above the folder
            return
    elif _belongs_to_python(origin.partition(".")[0]):
        return
    yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


def anew(module: str, folder: str) -> ModuleType:
    """A module of a folder, executed now, as are those of the folder that it imports."""
    root = ROOT + hashlib.sha256(folder.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]
    spec = ModuleSpec(root, None, is_package=True)
    spec.submodule_search_locations = [folder]
    sys.modules[root] = module_from_spec(spec)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    return importlib.import_module(f"{root}.{module}")


class _Finder:
    """Finds the modules below a root in its folder, and refuses links that lead out of the trusted ones."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """As ``importlib.abc.MetaPathFinder`` asks."""
        if not name.startswith(ROOT) or path is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.origin and not trusted().has_file(Path(spec.origin)):
            raise ImportError(link(Path(spec.origin)))
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Executes what the file holds now, never compiled code of before, and lets it import its neighbours."""

    def exec_module(self, module: ModuleType) -> None:
        """As ``importlib.abc.Loader`` asks."""
        root = self.name.partition(".")[0]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": partial(_import, root)}
        exec(self.source_to_code(self.get_data(self.path), self.path), vars(module))


def _import(
    root: str,
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - named as builtins.__import__ names them
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """``builtins.__import__`` for a module below ``root``, which sees those of its folder as top-level."""
    if level > str((globals or {}).get("__package__")).count("."):
        raise ImportError("attempted relative import beyond top-level package")
    top = name.partition(".")[0]
    if level or _belongs_to_python(top) or find_spec(f"{root}.{top}") is None:
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    found = builtins.__import__(f"{root}.{name}", globals, locals, fromlist or ())
    return found if fromlist else sys.modules[f"{root}.{top}"]


def _belongs_to_python(top: str) -> bool:
    """Whether Python itself, this package or an installed package has a module of this name."""
    installed = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    known = top in sys.stdlib_module_names or top == __name__.partition(".")[0]
    return known or PathFinder.find_spec(top, installed) is not None
