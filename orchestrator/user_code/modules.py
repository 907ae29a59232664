"""Modules in users' folders, executed under a name of their own."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.user_code.sources import Sources, belongs_to_python
from orchestrator.user_code.trust import link, trusted

ROOT = "_user_code_"
"""What the names of these modules begin with; eight hex digits for the folder, and a dot, follow."""


def anew(module: str, sources: Sources) -> ModuleType:
    """A module of a folder, executed now as it was read, as are those of the folder that it imports."""
    folder = sources.folder
    root = ROOT + hashlib.sha256(folder.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]
    spec = ModuleSpec(root, None, loader_state=sources.contents, is_package=True)
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
    """Executes what was read of a file, never compiled code of before, and lets it import its neighbours."""

    def exec_module(self, module: ModuleType) -> None:
        """As ``importlib.abc.Loader`` asks."""
        root = self.name.partition(".")[0]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": partial(_import, root)}
        exec(self.source_to_code(self._content(root), self.path), vars(module))

    def _content(self, root: str) -> bytes:
        """What was read of the file; what it holds now if no ``import`` statement has named it."""
        spec = sys.modules[root].__spec__
        read: Mapping[Path, bytes] = spec.loader_state if spec else {}
        return read[Path(self.path)] if Path(self.path) in read else self.get_data(self.path)


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
    if level or belongs_to_python(top) or find_spec(f"{root}.{top}") is None:
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    found = builtins.__import__(f"{root}.{name}", globals, locals, fromlist or ())
    return found if fromlist else sys.modules[f"{root}.{top}"]
