"""The one door to users' code: whose is executed, how it is found and loaded, what becomes of its errors.

Code is executed if it lies in or below a trusted folder (that of the sweep file, and those that ``--trust``
names), or in a package on Python's own path that ``--trust`` names. What is trusted is a state of the
process: ``sweep.file.load`` sets it, ``training.worker.Preparation`` takes it to the workers. No run keeps
it.

Modules in folders are loaded under a name of their own, ``_user_code_….module``, so they replace none that
has the same name. Their ``import`` statements find their neighbours in the folder, unless Python itself or
an installed package has that name.
"""

from __future__ import annotations

import builtins
import dis
import hashlib
import importlib
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from traceback import walk_tb
from types import FrameType, ModuleType
from typing import Any

from orchestrator.errors import Fault, InputError, OrchestratorError, plain

VARIABLE = "ORCHESTRATOR_TRUST"
"""The environment variable that says what is trusted, separated by commas."""

_OPTION = "--trust"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_ROOT = "_user_code_"
_MOST_CHARACTERS = 1000
"""Of what an error says, in a message."""


@dataclass(frozen=True)
class Trust:
    """Whose code may be executed.

    Attributes:
        folders: absolute paths; the code in them and below them.
        packages: dotted names; the code of these packages or modules on Python's own path.
    """

    folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Iterable[str | os.PathLike[str]], *own: Path) -> Trust:
        """What the user trusts: what is given, what the environment names, and folders of the user's own.

        Args:
            given: names of packages, and folders; text is a folder if it has a ``/`` or begins with ``.``
                or ``~``.

        Raises:
            InputError: with each that is neither.
        """
        named = [(_OPTION, os.fspath(one), isinstance(one, os.PathLike)) for one in given]
        variable = os.environ.get(VARIABLE, "").split(",")
        named += [(VARIABLE, one.strip(), False) for one in variable if one.strip()]
        folders, packages, faults = [str(one) for one in own], [], []
        for path, one, is_path in named:
            folder = Path(one).expanduser() if is_path or "/" in one or one[:1] in (".", "~") else None
            if folder is not None and folder.is_dir():
                folders.append(str(folder.absolute()))
            elif folder is None and _NAME.fullmatch(one):
                packages.append(one)
            else:
                faults.append(Fault(path, f"is {one!r}, must be a folder (./circuits) or a package's name"))
        if faults:
            raise InputError(faults)
        return cls(tuple(dict.fromkeys(folders)), tuple(dict.fromkeys(packages)))

    def has_file(self, path: Path) -> bool:
        """Whether a file or folder lies in a trusted folder, once links are followed."""
        place = path.resolve()
        return any(place.is_relative_to(Path(folder).resolve()) for folder in self.folders)

    def has_module(self, name: str) -> bool:
        """Whether a module is, or belongs to, a trusted package."""
        return any(name == package or name.startswith(f"{package}.") for package in self.packages)


_trusted = Trust()


def allow(trust: Trust) -> None:
    """Sets what this process trusts, in the place of what it trusted before."""
    global _trusted  # noqa: PLW0603 - it is a state of the process
    _trusted = trust


def trusted() -> Trust:
    """What this process trusts; nothing, before ``allow``."""
    return _trusted


@dataclass(frozen=True)
class Function:
    """A function of the user's own, and where its module is looked for.

    Attributes:
        module: dotted name.
        name: of the function.
        folder: absolute path; is looked into before Python's own path.
    """

    module: str
    name: str
    folder: str

    @property
    def file(self) -> Path:
        """The module's file; nothing is executed, and it need not be trusted.

        Raises:
            InputError: at ``model.python``, there is none.
        """
        return self._found()[0]

    @property
    def source(self) -> bytes:
        """The module's bytes; nothing is executed, and it need not be trusted.

        Raises:
            InputError: at ``model.python``, they cannot be had.
        """
        file = self.file
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError.at("model.python", f"{file} cannot be read: {error.strerror}") from None

    def files(self) -> list[Path]:
        """The module and what it imports, as far as they are in the folder; nothing is executed."""
        from modulefinder import ModuleFinder

        file, inside = self._found()
        if not inside:
            return []
        finder = ModuleFinder([self.folder])
        with suppress(ImportError, SyntaxError):  # no __init__.py; a neighbour that is never executed
            finder.import_hook(self.module)
        sources = {getattr(module, "__file__", None) for module in finder.modules.values()}
        return sorted({file, *(Path(source) for source in sources if source)})

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """What the function returns; modules in the folder are executed anew.

        Raises:
            InputError: at ``model.python``, ``model.folder`` or ``model.arguments``: it cannot be had, is not
                trusted, or raised something.
        """
        self._refuse_foreign()
        file, inside = self._found()
        with warnings.catch_warnings():  # filters that the code sets end with it
            with explained("model.python", file.name, file):
                module = _anew(self.module, self.folder) if inside else importlib.import_module(self.module)
                function = getattr(module, self.name, None)
            if not callable(function):
                raise InputError.at("model.python", f"{self.module} has no function {self.name}")
            with explained("model.arguments", f"{self.module}:{self.name}", file):
                return function(**arguments)

    def _found(self) -> tuple[Path, bool]:
        """The module's file, and whether it was found in the folder."""
        for path, inside in (([self.folder], True), (sys.path, False)):
            if file := _source(self.module, path):
                return file, inside
        message = f"there is no module {self.module} in {self.folder} or on Python's path"
        raise InputError.at("model.python", message)

    def _refuse_foreign(self) -> None:
        """Raises InputError if the module is not trusted."""
        file, inside = self._found()
        folder = Path(self.folder)
        if not inside and not _trusted.has_module(self.module):
            reason = f"{self.module} is {file}, not in {folder}: code on Python's path is not executed"
            raise InputError.at("model.python", f"{reason}; {_way_out(self.module.partition('.')[0])}")
        if inside and not _trusted.has_file(folder):
            reason = "not trusted: code comes from the folder of a sweep file that is given, or below it"
            raise InputError.at("model.folder", f"is {_seen(folder)}, {reason}; {_way_out(folder.resolve())}")
        if inside and not _trusted.has_file(file):
            raise InputError.at("model.python", _link(file))


def _seen(path: Path) -> str:
    """A path, and what it is a link to."""
    place = path.resolve()
    return str(path) if place == path else f"{path} (a link to {place})"


def _link(file: Path) -> str:
    """Why a file in a trusted folder is not executed."""
    place = file.resolve()
    return f"{file} leads to {place}, outside the trusted folders; {_way_out(place.parent)}"


def _way_out(trusted: Path | str) -> str:
    return f"if you know that code and want it executed, give {_OPTION} {shlex.quote(str(trusted))}"


def _source(module: str, path: Sequence[str]) -> Path | None:
    """The file of a module below ``path``, found without importing anything; None if it is no ``.py``."""
    importlib.invalidate_caches()
    names, spec, places = module.split("."), None, list(path)
    for depth in range(1, len(names) + 1):
        spec = PathFinder.find_spec(".".join(names[:depth]), places)
        places = list((spec and spec.submodule_search_locations) or ())
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _anew(module: str, folder: str) -> ModuleType:
    """A module of a folder, executed now, as are those of the folder that it imports."""
    root = _ROOT + hashlib.sha256(folder.encode("utf-8", "surrogateescape")).hexdigest()[:8]
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
        if not name.startswith(_ROOT) or path is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.origin and not _trusted.has_file(Path(spec.origin)):
            raise ImportError(_link(Path(spec.origin)))
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


@contextmanager
def explained(path: str, culprit: str, file: Path | None = None) -> Iterator[None]:
    """Whatever users' code raises inside, SystemExit included, becomes a fault with its file and line.

    A Ctrl-C passes: a KeyboardInterrupt that no ``raise`` in the user's code has raised. So do the errors
    of this package.

    Args:
        path: of the fault.
        culprit: what raised it.
        file: is named where no line of the user's code was reached; if left out, only that counts which has
            passed such a line.

    Raises:
        InputError: the fault.
    """
    try:
        yield
    except BaseException as error:
        own = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _is_users(frame)]
        ours = isinstance(error, OrchestratorError) or file is None
        if _is_ctrl_c(error) or (ours and not own):
            raise
        place = f"{own[-1][0].f_code.co_filename}:{own[-1][1]}" if own else file and _place(file, error)
        raise InputError.at(path, f"{culprit} raised {_said(error)} ({place})") from error


def _is_users(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.startswith(_ROOT) or _trusted.has_module(name)


def _place(file: Path, error: BaseException) -> str:
    """A file, and the line that a SyntaxError in it names."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(file) else None
    return f"{file}:{line}" if line else str(file)


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether it comes from a signal; then the innermost instruction is no ``raise`` of the user's code."""
    if type(error) is not KeyboardInterrupt:
        return False
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None or not _is_users(innermost.tb_frame):
        return True
    instructions = dis.get_instructions(innermost.tb_frame.f_code)
    names = {instruction.offset: instruction.opname for instruction in instructions}
    return names.get(innermost.tb_lasti) != "RAISE_VARARGS"


def _said(error: BaseException) -> str:
    """Kind and text of an error, on one line."""
    try:
        text = str(error)
    except BaseException:  # it is the user's code, too
        text = "what it says cannot be shown"
    text = " ".join(re.sub(_ROOT + r"[0-9a-f]{8}\.", "", plain(text)).split())
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
