"""JSON-RPC requests that are repeated when the network, not the request, is to blame."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from .errors import LedgerError, RpcError

TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
TIMEOUT = 20.0
PASSING = (408, 429)
"""HTTP status codes below 500 that are worth another try."""
BUSY = (-32005, 429)
"""JSON-RPC error codes of providers that limit the rate of requests."""

# web3 logs whole URLs, which carry the keys of paid providers, when debugging is on.
for _name in (
    "web3.providers.HTTPProvider",
    "web3._utils.http_session_manager.HTTPSessionManager",
):
    logging.getLogger(_name).setLevel(logging.INFO)


class PassingError(RpcError):
    """A failure that may be over at the next try."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """The node answered with an error object.

    Args:
        message: its text.
        code: its number; 3 stands for a reverted call.
        data: its data as bytes, e.g. the output of a reverted call; empty if there is none.
    """

    def __init__(self, message: str, code: object, data: bytes) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data


class Transport:
    """Requests to one URL.

    Args:
        url: http or https.
        timeout: seconds until one try is given up.
        tries: how often a request is made at most.
        sleep: for tests.

    Raises:
        LedgerError: the URL is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT,
        tries: int = TRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = host_of(url)
        self._session = requests.Session()
        self._provider = HTTPProvider(
            url,
            request_kwargs={"timeout": timeout},
            session=self._session,
            exception_retry_configuration=None,
        )
        self._tries = tries
        self._sleep = sleep

    def request(self, method: str, *parameters: Any) -> Any:
        """The result of a request.

        Raises:
            Refusal: the node answered with an error.
            RpcError: it did not answer, or not in JSON-RPC, every time.
        """
        pause = FIRST_PAUSE
        for number in range(1, self._tries + 1):
            try:
                return self._once(method, parameters)
            except PassingError:
                if number == self._tries:
                    raise
            self._sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _once(self, method: str, parameters: tuple[Any, ...]) -> Any:
        try:
            answer: Any = self._provider.make_request(RPCEndpoint(method), list(parameters))
        except requests.Timeout:
            raise self._failed("does not answer in time") from None
        except requests.HTTPError as error:
            code = error.response.status_code if error.response is not None else 500
            failed = self._failed if code in PASSING or code >= 500 else self._hopeless
            raise failed(f"answers HTTP {code}") from None
        except requests.ConnectionError:
            raise self._failed("cannot be reached") from None
        except (requests.RequestException, ValueError, UnicodeError):
            raise self._failed("answers what is not JSON-RPC") from None
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise self._failed("answers what is not JSON-RPC")
        if answer.get("error") is None:
            return answer.get("result")
        return self._refuse(answer["error"])

    def _refuse(self, error: Any) -> None:
        if not isinstance(error, dict):
            raise self._failed("answers what is not JSON-RPC")
        if error.get("code") in BUSY:
            raise self._failed("asks for fewer requests")
        message = " ".join(str(error.get("message", "")).split())[:200]
        raise Refusal(message, error.get("code"), _data(error))

    def _failed(self, what: str) -> PassingError:
        return PassingError(f"the node {what}", where=self.name, remedy="check --rpc and try again")

    def _hopeless(self, what: str) -> RpcError:
        return RpcError(f"the node {what}", where=self.name, remedy="check --rpc")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def host_of(url: str) -> str:
    """Host and port of an URL: what messages may show, since the rest can hold a secret.

    Raises:
        LedgerError: not an http or https URL.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        shown = url if len(url) <= 60 and "@" not in url else f"{url[:12]}..."
        raise LedgerError(
            f"'{shown}' is not the URL of a node",
            where="--rpc",
            remedy="e.g. http://127.0.0.1:8545",
        )
    return f"{parts.hostname}{port}"


def _data(error: dict[str, Any]) -> bytes:
    """The output of a reverted call; nodes wrap it in different ways."""
    found = error.get("data")
    if isinstance(found, dict):
        found = found.get("data") or found.get("result")
    text = str(found or "")
    start = text.find("0x")
    try:
        return bytes.fromhex(text[start + 2 :]) if start >= 0 else b""
    except ValueError:
        return b""
