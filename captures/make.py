#!/usr/bin/env python3
"""Rebuilds the synthetic golden cases byte for byte from fixed seeds.

    captures/make.py [NAME...]           write these cases, or all of them
    captures/make.py --check [NAME...]   verify that what is here equals what would be written; exit status 1 if not
    captures/make.py --list              names and questions

Reports (`expected.*.json`) are not written here: the test suite does that. See captures/README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from captures.synth.case import RECIPES, Case, build  # noqa: E402 - the path must be set first
from captures.synth.recipes import MODULES  # noqa: E402 - as above

#: How files of a case folder begin that the test suite writes.
FOREIGN = "expected."


def differences(case: Case, folder: Path) -> list[str]:
    """What differs between a case and its folder: missing, changed or superfluous files, by relative path."""
    wanted = case.files()
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(FOREIGN)
    }
    lines = [f"{case.name}/{name}: missing" for name in wanted if name not in found]
    lines += [f"{case.name}/{name}: not made by any recipe" for name in found if name not in wanted]
    lines += [
        f"{case.name}/{name}: differs" for name, path in found.items() if wanted.get(name, b"") != path.read_bytes()
    ]
    return sorted(set(lines))


def check(names: list[str], root: Path = HERE) -> list[str]:
    """All differences of these cases (all cases when the list is empty), and folders no recipe makes."""
    lines = [line for name in names or RECIPES for line in differences(build(name), root / name)]
    if not names:
        lines += [f"{path.name}: no recipe" for path in sorted(root.glob("synth-*")) if path.name not in RECIPES]
    return lines


def write(case: Case, root: Path = HERE) -> None:
    """Writes one case; files that no recipe makes any more go away, reports stay."""
    folder = root / case.name
    wanted = case.files()
    for name, data in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(FOREIGN) and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Rebuild the synthetic golden cases.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="verify instead of writing")
    parser.add_argument("--list", action="store_true", help="names and questions")
    arguments = parser.parse_args()
    assert MODULES
    unknown = [name for name in arguments.names if name not in RECIPES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    if arguments.list:
        for name, (question, _) in RECIPES.items():
            print(f"{name:44} {question}")
        return 0
    if arguments.check:
        lines = check(arguments.names)
        print("\n".join(lines) or "all cases are as their recipes make them", file=sys.stderr)
        return 1 if lines else 0
    for name in arguments.names or RECIPES:
        write(build(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
