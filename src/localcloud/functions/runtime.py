"""An environment's loop: blocking reads, one event at a time, no event loop but the handler's own."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import orjson

from localcloud.children import die_with_parent
from localcloud.functions import handling
from localcloud.functions.frames import frame, read_frame
from localcloud.functions.log import take_error

if TYPE_CHECKING:
    import socket

    from localcloud.functions.description import Description


def serve(channel: socket.socket, description: Description) -> None:
    """Answer events from `channel` until it closes. The first frame sent says whether the handler loaded."""
    _apply(description)
    try:
        handler = handling.load(description.handler)
    except handling.LoadError as error:
        channel.sendall(frame(error.reply))
        return
    channel.sendall(frame(handling.READY))
    while (request := read_frame(channel)) is not None:
        fields = orjson.loads(request)
        context = handling.context_of(description, fields["requestId"], fields["deadlineMs"])
        reply = handling.call(handler, fields["event"], context)
        # Flush first, so that the function's output is in the log before its caller gets the reply.
        sys.stdout.flush()
        sys.stderr.flush()
        if (log_error := take_error()) is not None:
            reply = handling.with_log_error(reply, log_error)
        channel.sendall(frame(reply))


def _apply(description: Description) -> None:
    # A second line of defence: normally the zygote kills its children, unless it died first.
    die_with_parent()
    # Ctrl-C in a terminal reaches every process of the group; the parent decides when each ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(description.environ)
    time.tzset()
    # The interpreter already runs, so apply PYTHONPATH here.
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in added if path and path not in sys.path]
