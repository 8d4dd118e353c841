"""The files of docs/adding-a-channel.md: every block whose fence names one."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def files() -> dict[str, str]:
    text = (DOCS / "adding-a-channel.md").read_text("utf-8")
    return {f[1]: f[2] for f in re.finditer(r"^```\w+ (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)}


def write(folder: Path, spoilt: dict[str, str] | None = None) -> Path:
    """A folder with them all. `spoilt`: what stands there -> what is to stand in its place, in whichever file."""
    made = files()
    for old, new in (spoilt or {}).items():
        holders = [name for name, text in made.items() if old in text]
        assert holders, f"the page does not say {old!r} any more"
        for name in holders:
            made[name] = made[name].replace(old, new)
    for name, text in made.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.rstrip("\n") if file.suffix == ".http" else text, "utf-8")
    return folder
