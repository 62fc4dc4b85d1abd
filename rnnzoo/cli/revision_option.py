"""The option of every command that reads a zoo which may be on the Hub."""

from __future__ import annotations

import click

revision_option = click.option(
    "--revision", help="Of a zoo on the Hub: branch, tag or commit hash; by default the main branch."
)
"""Gives a command the parameter `revision`, which `rnnzoo.hub.names.resolve` takes."""
