"""`groupcast doctor`: checks whether a deployed stage is healthy, and names remedies."""

from groupcast_cli.doctor.command import add_parser

__all__ = ["add_parser"]
