"""``orchestrator schema``: the JSON Schema of the sweep file."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of the sweep file, for editors.

    \b
    Example:
      orchestrator schema > sweep.schema.json
    Then, as the first line of a sweep file:
      # yaml-language-server: $schema=sweep.schema.json
    """
    from orchestrator.sweep.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
