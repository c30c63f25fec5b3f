"""`groupcast doctor`: whether a deployed stage is healthy, and what to do where it isn't."""

from groupcast_cli.doctor.command import add_parser

__all__ = ["add_parser"]
