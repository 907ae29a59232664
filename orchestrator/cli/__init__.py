"""The command line: one verb per file."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from typing import TextIO

import click

from orchestrator.addresses import masked
from orchestrator.cli import output
from orchestrator.cli.analyse import analyse
from orchestrator.cli.cancel import cancel
from orchestrator.cli.doctor import doctor
from orchestrator.cli.logs import logs
from orchestrator.cli.plan import plan
from orchestrator.cli.run import run
from orchestrator.cli.schema import schema
from orchestrator.cli.status import status
from orchestrator.cli.stop import stop
from orchestrator.cli.submit import submit
from orchestrator.cli.verify import verify
from orchestrator.errors import OrchestratorError, RunDirectoryWarning, printable
from orchestrator.process import listening, resource_error

BAD_INPUT = 2


class _Verbs(click.Group):
    """Lists the verbs in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orchestrator", prog_name="orchestrator")
def orchestrator() -> None:
    """Sweeps of gradient computations on Ray, classical and quantum, traced in Parquet.

    \b
    Example:
      orchestrator run jobs/quickstart.yaml
    """


for _verb in (plan, run, submit, status, logs, cancel, stop, analyse, verify, schema, doctor):
    orchestrator.add_command(_verb)


def main() -> None:
    """Runs the command line; an expected error is a message and exit code 2, not a traceback.

    Expected are errors of this package, wrong arguments, and a system that is out of memory or disk space.
    """
    warnings.showwarning = _print_warning
    output.wrap_streams()
    try:
        with listening(lambda text: click.echo(text, err=True)):
            orchestrator.main(standalone_mode=False)
    except output.OutputLost as lost:
        if lost.quiet:
            sys.exit(128 + signal.SIGPIPE)
        click.echo(str(lost), err=True)
        sys.exit(BAD_INPUT)
    except OrchestratorError as error:
        click.echo(_escaped(masked(str(error))), err=True)
        sys.exit(BAD_INPUT)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show(text := io.StringIO())
        click.echo(_escaped(masked(text.getvalue())), err=True, nl=False)
        sys.exit(error.exit_code)
    except Exception as error:
        if (message := resource_error(error)) is None:
            raise
        click.echo(_escaped(message), err=True)
        sys.exit(BAD_INPUT)


def _escaped(message: str) -> str:
    """Returns a message of one or more lines with control characters escaped."""
    return "\n".join(map(printable, message.split("\n")))


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the signature of warnings.showwarning
    line: str | None = None,
) -> None:
    """Prints a warning of this package in one line, any other as Python does."""
    if issubclass(category, RunDirectoryWarning):
        click.echo(f"warning: {_escaped(str(message))}", err=True)
    else:
        click.echo(warnings.formatwarning(message, category, filename, lineno, line), nl=False, err=True)
