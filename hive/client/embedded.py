"""A node in this process: opens the store itself, runs the whole peer, listens nowhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import trio

from hive.custody.passphrase import Passphrase
from hive.node.api import Api
from hive.node.home import Home
from hive.node.logs import Log
from hive.node.node import running


class Embedded:
    """Runs a node in a thread of its own until closed."""

    def __init__(self, home: Home, passphrase: Passphrase | None) -> None:
        self._home = home
        self._passphrase = passphrase
        self._ready = threading.Event()
        self._api: Api | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="hive-embedded")
        self._running = self._threads.submit(trio.run, self._main)
        self._running.add_done_callback(lambda _: self._ready.set())
        self._ready.wait()
        if self._running.done():
            self._finish()

    async def _main(self) -> None:
        settings = self._home.settings()
        log = Log(sys.stderr, "error")
        async with running(
            self._home, settings, self._passphrase, is_online=False, log=log
        ) as node:
            self._api, self._stop = Api(node), trio.Event()
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()
            await self._stop.wait()

    def call(self, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Runs a verb in the node's thread."""
        assert self._api is not None
        assert self._token is not None
        return trio.from_thread.run(self._api.call, verb, arguments, trio_token=self._token)

    def close(self) -> None:
        """Stops the node and waits until everything is on disk."""
        if self._token is not None and self._stop is not None and not self._running.done():
            self._token.run_sync_soon(self._stop.set)
        self._finish()

    def _finish(self) -> None:
        """Waits for the thread; raises what ended it, if anything did."""
        self._threads.shutdown()
        failure = self._running.exception()
        if failure is not None:
            raise _innermost(failure)


def _innermost(error: BaseException) -> BaseException:
    """The one error inside groups that hold nothing else."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
