"""Modules in users' folders, executed under names of their own."""

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
from orchestrator.user_code.trust import link_refusal, trusted

ROOT = "_user_code_"
"""Start of the names of these modules; eight hex digits for the folder, and a dot, follow."""


def execute(module: str, sources: Sources) -> ModuleType:
    """Executes a module as it was read, and the modules of its folder that it imports; returns it."""
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
    """Finds the modules of a folder, and refuses links that lead out of the trusted folders."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(ROOT) or path is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.origin and not trusted().has_file(Path(spec.origin)):
            raise ImportError(link_refusal(Path(spec.origin)))
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Executes a file as it was read, never compiled code, and lets it import the modules of its folder."""

    def exec_module(self, module: ModuleType) -> None:
        root = self.name.partition(".")[0]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": partial(_import, root)}
        exec(self.source_to_code(self._content(root), self.path), vars(module))

    def _content(self, root: str) -> bytes:
        """Returns the file as it was read; its content now if no ``import`` statement has named it."""
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
    """Replaces ``builtins.__import__`` in modules below ``root``: modules of the folder are top-level."""
    if level > str((globals or {}).get("__package__")).count("."):
        raise ImportError("attempted relative import beyond top-level package")
    top = name.partition(".")[0]
    if level or belongs_to_python(top) or find_spec(f"{root}.{top}") is None:
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    module = builtins.__import__(f"{root}.{name}", globals, locals, fromlist or ())
    return module if fromlist else sys.modules[f"{root}.{top}"]
