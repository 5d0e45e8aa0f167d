"""Mutation testing with mutmut: a seeded sample of the mutants, and how many of it the tests kill.

    pip install mutmut==3.8.1
    mutmut run yolov12edge.bench.verdict.x_doubts__mutmut_1    # writes mutants/ and runs one
    python benchmarks/mutants.py sample > names
    mutmut run --max-children 1 $(cat names)
    (cd mutants && mypy --output json > ../mypy.json)
    python benchmarks/mutants.py count < names

What is mutated and which tests run is in pyproject.toml. A mutant that survives the tests and that
mypy refuses counts as caught by mypy.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

MUTANTS = Path("mutants")
SEED = 12
# By room; a file gives at least FEWEST.
SHARES = {"bench": 1.0, "evaluate": 0.25, "quantize": 0.07}
FEWEST = 6
KILLED, SURVIVED, UNTESTED = (1, 3), 0, 33


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = {"sample": sample, "count": count}
    parser.add_argument("step", choices=steps, help="print names, or count those on stdin")
    steps[parser.parse_args().step]()


def results() -> dict[str, dict[str, int | None]]:
    """Source file to its mutants and pytest's exit code for each; None where it did not run."""
    files = {}
    for path in sorted(MUTANTS.rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        if codes:
            files[str(path.relative_to(MUTANTS).with_suffix(""))] = codes
    return files


def sample() -> None:
    for file, codes in results().items():
        share = SHARES[file.split("/")[1]]
        count = min(len(codes), max(FEWEST, round(share * len(codes))))
        print(*random.Random(SEED).sample(sorted(codes), count), sep="\n")


def refused(file: str) -> set[str]:
    """Functions with errors that mypy does not find in their originals too."""
    errors: dict[str, set[str]] = defaultdict(set)
    tree = ast.parse((MUTANTS / file).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for line in Path("mypy.json").read_text().splitlines():
        found = json.loads(line)
        if found["file"] != file or found["code"] in ("import-not-found", "untyped-decorator"):
            continue
        for function in functions:
            if function.lineno <= found["line"] <= (function.end_lineno or 0):
                errors[function.name].add(found["message"])
    return {
        name
        for name, messages in errors.items()
        if messages - errors.get(name.rpartition("__mutmut_")[0] + "__mutmut_orig", set())
    }


def count() -> None:
    names = set(sys.stdin.read().split())
    print("file", "mutants", "killed", "mypy", "survived", sep="\t")
    for file, codes in results().items():
        kinds: Counter[str] = Counter()
        for name in names & codes.keys():
            alive = codes[name] in (SURVIVED, UNTESTED)
            if alive and name.rpartition(".")[2] in refused(file):
                kinds["mypy"] += 1
            else:
                kinds["survived" if alive else "killed" if codes[name] in KILLED else "other"] += 1
        if kinds:
            figures = (kinds.total(), kinds["killed"], kinds["mypy"], kinds["survived"])
            print(file, *figures, sep="\t")


if __name__ == "__main__":
    main()
