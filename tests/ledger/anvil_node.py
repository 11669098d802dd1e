"""A real node for tests: anvil on a free port of 127.0.0.1."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from install_anvil import NoAnvil, install

START_SECONDS = 20.0
RICH = 10**22


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def anvil_or_skip() -> Path:
    """The anvil binary; without one the test that asks is skipped, or fails where one must be."""
    try:
        return install()
    except NoAnvil as error:
        if os.environ.get("PRIVAUDIT_REQUIRE_ANVIL"):
            pytest.fail(str(error))
        pytest.skip(str(error))


class Node:
    """A running anvil; stopped, by its process id, at the end of the ``with`` block."""

    def __init__(self, binary: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        place = ["--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [binary, *place, "--silent", "--enable-tx-gas-limit", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.rpc("eth_chainId")
            except OSError:
                assert self._process.poll() is None, "anvil has ended"
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise AssertionError("anvil does not answer")

    def rpc(self, method: str, *parameters: Any) -> Any:
        """The result of a request; an error object is an assertion."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = json.load(answer)
        assert "error" not in content, content
        return content["result"]

    def fund(self, *accounts: str, wei: int = RICH) -> None:
        """Set the balance of accounts."""
        for account in accounts:
            self.rpc("anvil_setBalance", account, hex(wei))

    def stop(self) -> None:
        """End the process, softly so that it dumps a state it was asked to keep."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
