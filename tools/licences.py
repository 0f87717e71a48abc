"""The licences of the crates that the engine links: checked against a list, and gathered for the wheel.

python tools/licences.py                  fails where a crate's licence is not on the list
python tools/licences.py --notices FILE   writes the crates' own licence texts into FILE
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# Permissive ones, which an Apache-2.0 wheel may link without giving up anything. Read before you add one.
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
MANIFEST = Path(__file__).resolve().parent.parent / "native" / "Cargo.toml"
# Names of the files that hold a crate's licence and notices, whatever their case and suffix.
TEXTS = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression (https://spdx.github.io/spdx-spec) can be met by what is on the list.

    `/` is how older crates write OR. Both operators and brackets are understood; WITH belongs to its licence.
    """
    tokens = re.findall(r"\(|\)|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", expression.replace("/", " OR "))
    words = {"(": "(", ")": ")", "AND": "and", "OR": "or"}
    try:
        # Nothing but brackets, and, or, True and False is left to evaluate.
        return bool(eval(" ".join(words.get(t, str(t in ALLOWED)) for t in tokens)))  # noqa: S307 - see above
    except SyntaxError:
        return False


def linked() -> list[dict[str, Any]]:
    """Return cargo's metadata of every crate in the built library: no build tools, no procedural macros."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", str(MANIFEST)]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached: set[str] = set()
    waiting = [root]
    while waiting:
        number = waiting.pop()
        if number in reached:
            continue
        reached.add(number)
        waiting += [
            each["pkg"]
            for each in nodes[number]["deps"]
            if any(kind["kind"] is None for kind in each["dep_kinds"])
        ]
    crates = [packages[number] for number in reached - {root}]
    macro = [crate for crate in crates if any("proc-macro" in target["kind"] for target in crate["targets"])]
    return sorted((crate for crate in crates if crate not in macro), key=lambda c: (c["name"], c["version"]))


def refused(crates: list[dict[str, Any]]) -> list[str]:
    """Say which crates have a licence that is not on the list, or none."""
    return [
        f"{crate['name']} {crate['version']}: {crate['license'] or 'no licence named'}"
        for crate in crates
        if not is_allowed(crate["license"] or "")
    ]


def notices(crates: list[dict[str, Any]]) -> str:
    """Return each crate's name and licence, and each text once with the crates that it is the text of."""
    texts: dict[str, list[str]] = {}
    for crate in crates:
        folder = Path(crate["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if file.is_file() and TEXTS.match(file.name):
                text = file.read_text(encoding="utf-8", errors="replace").strip()
                texts.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    head = ["plait's native module (plait/_native) links these crates (https://crates.io):", ""]
    head += [f"  {crate['name']} {crate['version']}: {crate['license']}" for crate in crates]
    parts = [f"{', '.join(dict.fromkeys(names))}\n\n{text}" for text, names in texts.items()]
    return f"\n\n{'=' * 100}\n".join(["\n".join(head), *parts]) + "\n"


def main() -> None:
    """Check, and write the notices where asked."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--notices", type=Path, help="write the licence texts there")
    asked = arguments.parse_args()
    crates = linked()
    if bad := refused(crates):
        sys.exit("Licences that are not on the list in tools/licences.py:\n  " + "\n  ".join(bad))
    if asked.notices:
        asked.notices.write_text(notices(crates), encoding="utf-8")


if __name__ == "__main__":
    main()
