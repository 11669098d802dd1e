"""Install the node the ledger tests talk to, or say where it is.

    python tests/ledger/install_anvil.py

anvil comes from npm, pinned in ``package.json``, into ``node_modules`` beside this file (ignored by
git). ``PRIVAUDIT_ANVIL`` names another binary. Without npm the tests that need a node are skipped,
or fail where ``PRIVAUDIT_REQUIRE_ANVIL`` is set, as it is in CI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NPM_SECONDS = 300


class NoAnvil(Exception):  # noqa: N818 - a state of the machine
    """There is no anvil, and it cannot be installed; the text says why."""


def find() -> Path | None:
    """The anvil binary, if there is one."""
    named = os.environ.get("PRIVAUDIT_ANVIL")
    if named:
        return Path(named)
    # The package's own command is a script around the binary in the platform's package.
    binaries = sorted(HERE.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"))
    if binaries:
        return binaries[0]
    on_path = shutil.which("anvil")
    return Path(on_path) if on_path else None


def install() -> Path:
    """The anvil binary, installed with npm if need be.

    Raises:
        NoAnvil: npm is missing or fails.
    """
    found = find()
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise NoAnvil("npm is not installed, so there is no anvil to test against")
    # The binary needs none of the install scripts, and no lock file: package.json pins it.
    options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(
            [npm, "install", *options],
            cwd=HERE,
            check=True,
            capture_output=True,
            timeout=NPM_SECONDS,
        )
    except subprocess.SubprocessError as error:
        raise NoAnvil(f"npm could not install anvil: {type(error).__name__}") from None
    found = find()
    if found is None:
        raise NoAnvil("npm has no anvil for this platform")
    return found


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        binary = install()
    except NoAnvil as error:
        print(error, file=sys.stderr)
        return 1
    shown = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True)
    print(shown.stdout.splitlines()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
