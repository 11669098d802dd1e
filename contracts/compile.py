"""Compile the reward ledger into the artefact that ships with the package, or check that file.

    python contracts/compile.py           write privaudit/chain/artefact/RewardLedger.json
    python contracts/compile.py --check   compile again and compare; exit 1 if not equal

The artefact is what users deploy and verify: they need no compiler. ``integrity`` is the SHA-256 of
the canonical JSON (sorted keys, no spaces, UTF-8) of everything else in the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import vyper
from vyper.compiler import compile_code
from vyper.exceptions import VyperException

CONTRACTS = Path(__file__).resolve().parent
SOURCE = CONTRACTS / "RewardLedger.vy"
ARTEFACT = CONTRACTS.parent / "privaudit" / "chain" / "artefact" / "RewardLedger.json"
MAX_RUNTIME_BYTES = 24_576  # EIP-170

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
        ValueError: the runtime code is over the size limit or would need immutables.

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
    artefact = {
        "contract": SOURCE.stem,
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


def check() -> str | None:
    """Why the stored artefact does not match the source; None if it does."""
    try:
        found = json.loads(ARTEFACT.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"
    try:
        expected = build(SOURCE.read_text(encoding="utf-8"))
    except (VyperException, ValueError) as error:
        return f"the source does not compile: {' '.join(str(error).split())}"
    return difference(expected, found)


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
    artefact = build(SOURCE.read_text(encoding="utf-8"))
    ARTEFACT.parent.mkdir(parents=True, exist_ok=True)
    ARTEFACT.write_text(json.dumps(artefact, indent=1) + "\n", encoding="utf-8")
    size = len(artefact["runtime_bytecode"]) // 2 - 1
    print(f"wrote {ARTEFACT.name}: {size} bytes of runtime code, integrity {artefact['integrity']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
