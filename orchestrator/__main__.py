"""Runs the command line as ``python -m orchestrator``."""

from orchestrator.cli.supervised import console

console()
