"""Figures of a run go into docs/reliability.md by themselves, if AXXONFS_RECORD is set: nobody types one."""

import datetime as dt
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"


def record(name: str, text: str) -> None:
    """Print a block of figures, and write it into the document where that was asked for."""
    sys.stdout.write(f"\n{text}\n")
    if not os.environ.get("AXXONFS_RECORD"):
        return
    block = re.compile(rf"(<!-- run: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    document = DOCUMENT.read_text("utf-8")
    assert block.search(document), f"{DOCUMENT} has no place for {name}"
    filled = f"{when()}\n\n{text.rstrip()}\n"
    DOCUMENT.write_text(block.sub(lambda match: f"{match[1]}{filled}{match[2]}", document), "utf-8")


def when() -> str:
    """Return on what, and when, it ran."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = (
        os.environ.get("AXXONFS_COMMIT")
        or subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    )
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Run of {now}, commit {commit or 'unknown'}, Linux {platform.release()}, {os.cpu_count()} processors."


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
