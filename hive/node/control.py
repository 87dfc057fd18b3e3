"""The verbs over a Unix socket in the node's folder: one JSON object a line, each way.

Only the owner of the folder may open the socket. A line is `{"verb": …, "arguments": {…}}`; the
answer is `{"ok": …}` or `{"error": {"type", "message", "hint", "reason", "step"}}`.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Final

import trio

from hive.errors import HiveError, MalformedFrame, Refused, StoreError
from hive.node.api import Api
from hive.node.node import Node

LINE_BYTES_MAX: Final = 256 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
SESSION_COUNT_MAX: Final = 256


async def serve(node: Node, *, task_status: trio.TaskStatus[None]) -> None:
    """Accepts control connections until cancelled."""
    path = node.home.socket
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = node.home.socket  # its folder is there now: is it ours?
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        try:
            os.fchmod(listening.fileno(), 0o600)
            listening.bind(str(path))
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error}", hint="check its folder") from None
        path.chmod(0o600)
        listening.listen(64)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening.dup()))
        api = Api(node)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    stream = await listener.accept()
                    if len(nursery.child_tasks) >= SESSION_COUNT_MAX:
                        await stream.aclose()
                        continue
                    nursery.start_soon(_session, api, stream)
        finally:
            path.unlink(missing_ok=True)
            with trio.CancelScope(shield=True):
                await listener.aclose()


async def _session(api: Api, stream: trio.SocketStream) -> None:
    """One client; whatever it says wrongly ends its session and nothing else."""
    buffer = bytearray()
    try:
        async with stream:
            while True:
                line = await _line(stream, buffer)
                if line is None:
                    return
                answer = await _answered(api, line)
                await stream.send_all(answer + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError, MalformedFrame):
        return


async def _line(stream: trio.SocketStream, buffer: bytearray) -> bytes | None:
    searched = 0
    while (end := buffer.find(b"\n", searched)) < 0:
        searched = len(buffer)
        if searched > LINE_BYTES_MAX:
            raise MalformedFrame("a control line is too long")
        chunk = await stream.receive_some(CHUNK_BYTES)
        if not chunk:
            return None
        buffer += chunk
    line = bytes(buffer[:end])
    del buffer[: end + 1]
    return line


async def _answered(api: Api, line: bytes) -> bytes:
    """The answer; a defect of ours ends this request and not the node."""
    try:
        return json.dumps(await _answer(api, line)).encode()
    except Exception as defect:  # noqa: BLE001 (told to the user and the log; the node goes on)
        name = type(defect).__name__
        api.node.log.write("error", "verb_failed", reason=f"{name}: {defect}"[:200])
        failed = HiveError(f"hive failed inside: {name}", hint="see the node's log")
        return json.dumps(_failure(failed)).encode()


async def _answer(api: Api, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        verb, arguments = request["verb"], request.get("arguments", {})
    except (ValueError, KeyError, TypeError, RecursionError):
        return _failure(MalformedFrame("not a control request", hint="use the hive client"))
    try:
        return {"ok": await api.call(verb, arguments)}
    except HiveError as error:
        return _failure(error)


def _family(error: HiveError) -> str:
    """The nearest class that every client knows."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == HiveError.__module__)


def _failure(error: HiveError) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "type": _family(error),
        "message": str(error),
        "hint": error.hint,
    }
    if isinstance(error, Refused):
        plain |= {"reason": error.reason, "step": error.step}
    return {"error": plain}
