"""Starts node processes for `node_processes`: imports once, forks a node for every line.

A line is a JSON object: `home`, `log`, and what this one node is to suffer: `ahead_ms` (its clock
is wrong), `file_bytes_max` (its disk is full beyond that), `upkeep_s`, `passphrase` (through a
descriptor), `namespace` (the network it lives in). With `join`, the arguments of an enrolment, the
process only enrols. Said on stdout: "ready PID", "failed PID {error}", "gone PID CODE".
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

import trio
from node_world import Skew

from hive.custody.passphrase import VARIABLE, Passphrase, from_environment
from hive.errors import HiveError
from hive.node import clocks, control, node, projector
from hive.node.enrolment import join
from hive.node.home import Home

CLONE_NEWNET = 0x4000_0000


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def passphrase_of(wanted: dict[str, Any]) -> Passphrase | None:
    """The passphrase as an unattended node gets it: through an open descriptor."""
    if "passphrase" not in wanted:
        return None
    reading, writing = os.pipe()
    os.write(writing, wanted["passphrase"].encode())
    os.close(writing)
    return from_environment({VARIABLE: str(reading)})


def enter(namespace: str) -> None:
    """From here on this process has the network of that namespace."""
    kernel = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    assert kernel.setns(descriptor, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    os.close(descriptor)


def be_a_node(wanted: dict[str, Any]) -> None:
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    if "ahead_ms" in wanted:
        skew = Skew()
        skew.ms = wanted["ahead_ms"]
        clocks.read = skew.read
    if "file_bytes_max" in wanted:
        limit = wanted["file_bytes_max"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    if "upkeep_s" in wanted:
        node.CHECK_INTERVAL_S = wanted["upkeep_s"]  # type: ignore[misc]
    if "namespace" in wanted:
        enter(wanted["namespace"])
    if "join" in wanted:
        join(Path(wanted["home"]), **wanted["join"])
        say("ready", os.getpid())
        return
    if "save_after_rows" in wanted:
        projector.SAVE_AFTER_ROWS = wanted["save_after_rows"]  # type: ignore[misc]
    home = Home(Path(wanted["home"]))

    def ready(started: node.Node) -> None:
        say("ready", os.getpid())

    async def main() -> None:
        secret = passphrase_of(wanted)
        await node.up(home, home.settings(), secret, control=control.serve, ready=ready)

    trio.run(main)


def innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def child(wanted: dict[str, Any]) -> None:
    """Never returns."""
    code = 1
    try:
        be_a_node(wanted)
        code = 0
    except BaseException as raised:  # noqa: BLE001 (told to the test; the child ends)
        error = innermost(raised)
        if not isinstance(error, HiveError):
            sys.excepthook(type(raised), raised, raised.__traceback__)
        hint = getattr(error, "hint", "")
        kind = type(error).__name__
        say("failed", os.getpid(), json.dumps({"type": kind, "message": str(error), "hint": hint}))
    finally:
        sys.stderr.flush()
        os._exit(code)


def bury() -> None:
    """Says which children are gone, and how."""
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            say("gone", found[0], os.waitstatus_to_exitcode(found[1]))
    except ChildProcessError:
        return


def main() -> None:
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    say("launcher")
    pending = b""
    while True:
        readable, _, _ = select.select([0, waking], [], [])
        if waking in readable:
            os.read(waking, 4_096)
        bury()
        if 0 not in readable:
            continue
        chunk = os.read(0, 65_536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if os.fork() == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(0)
                child(json.loads(line))


if __name__ == "__main__":
    main()
