"""``python beside.py ENVIRONMENT``: let another environment fall back on the packages of this one.

Its own come first, so pins that conflict with ours are kept.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
python = Path(sys.argv[1]) / "bin" / "python"
other = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout
line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
(Path(other.strip()) / "zz-privaudit.pth").write_text(line)
