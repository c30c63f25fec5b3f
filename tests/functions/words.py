"""Texts and paths shared by tests and their special functions."""

from __future__ import annotations

from pathlib import Path

# A sender dies after storing a message with this text.
DIE_AFTER_PUT_TEXT = "these are my last words"
# A sender dies after taking a number for a message with this text.
DIE_BEFORE_PUT_TEXT = "this I will never say"
# In this group a worker dies in the middle of its first pass.
DOOMED = "doomed"
POSTS_BEFORE_DEATH = 5
# Created in the working directory of `groupcast up` at a worker's death, so that it dies only once.
WORKER_DEATH_FILE = Path("last-words")
