"""Data sets and chains: what an audit reaches outside of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from privaudit.doctor.finding import Finding
from privaudit.errors import UserError


def data_sets(data_dir: Path | None) -> Iterator[Finding]:
    """What is there and what is not, as ``privaudit list`` says.

    A data set that is missing is no problem; a folder that was named and does not exist is one.
    """
    from privaudit.data.files import DATA_VARIABLE, default_data_dir
    from privaudit.data.registry import DATASETS

    folder = data_dir or default_data_dir()
    named = "--data-dir" if data_dir else DATA_VARIABLE if os.environ.get(DATA_VARIABLE) else ""
    if named and not folder.is_dir():
        remedy = f"Name an existing folder with {named}."
        yield Finding("data folder", "problem", f"{folder} is not a folder", remedy)
    here = {name: info.available(folder)[0] for name, info in DATASETS.items()}
    found = ", ".join(name for name, there in here.items() if there)
    missing = ", ".join(name for name, there in here.items() if not there)
    yield Finding("data sets", "ok", found)
    if missing:
        where = "'privaudit list' says where to get them"
        yield Finding("data sets missing", "note", f"{missing} (in {folder}; {where})")


def embedded_chain() -> Iterator[Finding]:
    """Does the chain that lives in the process start?"""
    from privaudit.chain.embedded import EmbeddedChain

    chain = EmbeddedChain([])
    found = f"starts, chain id {chain.chain_id}, block {chain.head().number}"
    yield Finding("embedded chain", "ok", found)


def node(url: str) -> Iterator[Finding]:
    """Does a JSON-RPC node answer? Asked twice, five seconds each."""
    from privaudit.chain.rpc import RpcChain
    from privaudit.chain.transport import Transport

    try:
        chain = RpcChain(url, transport=Transport(url, timeout=5.0, tries=2))
        found = f"{chain.name}: chain id {chain.chain_id}, block {chain.head().number}"
        chain.close()
    except UserError as error:
        found = f"{error.where}: {error.what}" if error.where else error.what
        remedy = "Start the node, or name its address as --rpc http://HOST:PORT."
        yield Finding("node", "problem", found, remedy)
    else:
        yield Finding("node", "ok", found)
