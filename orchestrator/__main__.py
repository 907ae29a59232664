"""Runs the command line as ``python -m orchestrator``."""

from orchestrator.cli.attended import console

console()
