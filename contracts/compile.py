"""Compile the reward ledger into the artefact that ships with the package, or check that file.

    python contracts/compile.py           write privaudit/chain/artefact/RewardLedger.json
    python contracts/compile.py --check   compile again and compare; exit 1 if not equal

Both mean the tables of storage and events in README.md, too.

The artefact is what users deploy and verify: they need no compiler. ``integrity`` is the SHA-256 of
the canonical JSON (sorted keys, no spaces, UTF-8) of everything else in the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import vyper
from tabulate import tabulate
from vyper.compiler import compile_code
from vyper.exceptions import VyperException

CONTRACTS = Path(__file__).resolve().parent
SOURCE = CONTRACTS / "RewardLedger.vy"
ARTEFACT = CONTRACTS.parent / "privaudit" / "chain" / "artefact" / "RewardLedger.json"
README = CONTRACTS / "README.md"
MAX_RUNTIME_BYTES = 24_576  # EIP-170
VERSION = re.compile(r'^VERSION: public\(constant\(String\[8\]\)\) = "(\w+)"$', re.MULTILINE)

Artefact = dict[str, Any]


def integrity(artefact: Artefact) -> str:
    """SHA-256 (hex) over the canonical JSON of an artefact without its ``integrity`` key."""
    rest = {key: value for key, value in artefact.items() if key != "integrity"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def build(source: str) -> Artefact:
    """Compile source text; the same text and compiler give the same artefact on any machine.

    Raises:
        vyper.exceptions.VyperException: the source does not compile.
        ValueError: the runtime code is over the size limit or would need immutables, or the source
            states no version.

    """
    output = compile_code(
        source,
        contract_path=SOURCE.name,
        output_formats=["abi", "bytecode", "bytecode_runtime", "layout", "settings_dict"],
    )
    runtime = output["bytecode_runtime"]
    size = len(runtime) // 2 - 1
    if size > MAX_RUNTIME_BYTES:
        raise ValueError(f"runtime code has {size} bytes, more than {MAX_RUNTIME_BYTES}")
    if output["layout"].get("code_layout"):
        raise ValueError("immutables make the deployed code differ from the artefact")
    version = VERSION.search(source)
    if version is None:
        raise ValueError("the source states no VERSION")
    artefact = {
        "contract": SOURCE.stem,
        "version": version.group(1),
        "language": "Vyper",
        "compiler": vyper.__long_version__,
        "settings": output["settings_dict"],
        "source": {
            "path": f"contracts/{SOURCE.name}",
            "sha256": hashlib.sha256(source.encode()).hexdigest(),
        },
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "runtime_bytecode": runtime,
    }
    return artefact | {"integrity": integrity(artefact)}


def difference(expected: Artefact, found: Artefact) -> str | None:
    """The first reason why a stored artefact is not the compiled one; None if they are equal."""
    if found.get("integrity") != integrity(found):
        return "its integrity hash does not match its content"
    keys = sorted((expected.keys() | found.keys()) - {"integrity"})
    wrong = [key for key in keys if expected.get(key) != found.get(key)]
    return f"it differs from the compiled source in: {', '.join(wrong)}" if wrong else None


def storage_table(source: str) -> str:
    """Where the contract keeps what: slot, name and type of every variable, as Markdown."""
    output = compile_code(source, contract_path=SOURCE.name, output_formats=["layout"])
    slots = output["layout"]["storage_layout"].items()
    rows = [(place["slot"], f"`{name}`", f"`{place['type']}`") for name, place in slots]
    return tabulate(rows, ("slot", "variable", "type"), "github")


def events_table(abi: list[dict[str, Any]]) -> str:
    """Every event with its arguments, the indexed ones in bold, as Markdown."""
    rows = [
        (f"`{item['name']}`", ", ".join(_argument(part) for part in item["inputs"]))
        for item in abi
        if item["type"] == "event"
    ]
    return tabulate(rows, ("event", "arguments"), "github")


def _argument(part: dict[str, Any]) -> str:
    text = f"{part['type'].replace('tuple', 'entry')} {part['name']}"
    return f"**{text}**" if part["indexed"] else text


def with_tables(readme: str, source: str, abi: list[dict[str, Any]]) -> str:
    """The README with both tables as the source gives them."""
    for name, table in (("storage", storage_table(source)), ("events", events_table(abi))):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = readme.split(begin)
        readme = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    return readme


def check() -> str | None:
    """Why artefact or README do not match the source; None if they do."""
    try:
        found = json.loads(ARTEFACT.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"
    try:
        source = SOURCE.read_text(encoding="utf-8")
        expected = build(source)
    except (VyperException, ValueError) as error:
        return f"the source does not compile: {' '.join(str(error).split())}"
    readme = README.read_text(encoding="utf-8")
    stale = readme != with_tables(readme, source, expected["abi"])
    return difference(expected, found) or (f"a table in {README.name} is not it" if stale else None)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if parser.parse_args(arguments).check:
        reason = check()
        if reason:
            print(f"{ARTEFACT.name} is out of date: {reason}", file=sys.stderr)
            return 1
        print(f"{ARTEFACT.name} matches {SOURCE.name}")
        return 0
    source = SOURCE.read_text(encoding="utf-8")
    artefact = build(source)
    ARTEFACT.write_text(json.dumps(artefact, indent=1) + "\n", encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    README.write_text(with_tables(readme, source, artefact["abi"]), encoding="utf-8")
    size = len(artefact["runtime_bytecode"]) // 2 - 1
    print(f"wrote {ARTEFACT.name}: {size} bytes of runtime code, integrity {artefact['integrity']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
