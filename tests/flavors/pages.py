"""The documentation's pages about flavors, made of ``flavors.toml`` and of what the matrix found.

``python -m tests.flavors.pages`` writes them; a test holds them in step.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
RESULTS = _HERE / "results.json"
FOLDER = _HERE.parent.parent / "docs" / "flavors"
TABLE: dict[str, dict[str, Any]] = tomllib.loads((_HERE / "flavors.toml").read_text())
EXAMPLES = {flavor: entry["example"].strip() + "\n" for flavor, entry in TABLE.items()}
NAMED = {"mlflow", *(name for entry in TABLE.values() for name in entry["distributions"])}
"""The distributions whose releases the pages tell."""
_MADE = "<!-- Made by `python -m tests.flavors.pages`; change tests/flavors/flavors.toml instead. -->\n"


def main() -> None:
    write_pages()


def write_pages() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    results = json.loads(RESULTS.read_text())
    return {
        "index.md": _index(results),
        **{f"{flavor}.md": _page(flavor, entry, results) for flavor, entry in TABLE.items()},
    }


def _index(results: dict[str, Any]) -> str:
    lines = ["| flavor | package of MLflow | saved by Servery | releases tried |", "|---|---|---|---|"]
    for flavor, entry in TABLE.items():
        tried = "; ".join(sorted({_release(entry, group) for group in _groups(flavor, results).values()}))
        saves = "yes" if entry["saved"] else "no"
        lines.append(f"| [{entry['title']}]({flavor}.md) | `{entry['loader']}` | {saves} | {tried} |")
    cases = [case for group in results["groups"].values() for case in group["cases"]]
    asked = sum(case.get("inputs", 0) for case in cases)
    return _join(
        "# Flavors",
        _MADE,
        "A flavor is how one framework's model is saved and loaded. `servery.save_model` finds it by the model's "
        "class; a worker finds it by the package's `loader_module`, and loads it without importing mlflow. What no "
        "flavor knows is loaded by the module that the package names, where the model's environment has it.",
        "\n".join(lines),
        "## The matrix",
        f"`make test-flavors` makes an environment for each group below from nothing, trains each model on real data, "
        f"saves it with stock mlflow and with Servery, and compares what `servery serve` answers over HTTP with stock "
        f"mlflow's `predict`: last on {results['date']} ({results['machine']}), {len(cases)} models, {asked} inputs.",
        _matrix(results),
        "## A flavor of your own",
        "A distribution of your own adds a flavor by an entry point of the group `servery.flavors`, named like the "
        "packages' `loader_module`, that points to a module with three functions:",
        '```python title="illustrative"\n' + _PLUGIN + "```",
    )


_PLUGIN = """\
def takes(model): ...  # is it a model of yours? It looks at the class and imports nothing
def save(model, folder): ...  # writes the files; gives back a servery.package.flavors.saved.Saved
def load(directory, mlmodel): ...  # in the worker: gives back a servery_worker.flavors.Loaded
"""


def _matrix(results: dict[str, Any]) -> str:
    lines = [
        "| group | flavor | model | inputs | mlflow's, served | Servery's, in mlflow | Servery's, served |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, group in results["groups"].items():
        for case in group["cases"]:
            marks = [_mark(case, part) for part in ("stock served", "ours loaded", "ours served")]
            cells = [name, case["flavor"], case["name"], str(case["inputs"]), *marks]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mark(case: dict[str, Any], part: str) -> str:
    return "equal" if case.get(part) == "ok" else "–"


def _page(flavor: str, entry: dict[str, Any], results: dict[str, Any]) -> str:
    groups = _groups(flavor, results)
    tried = ["| environment | release | mlflow | models | inputs |", "|---|---|---|---|---|"]
    for name, group in groups.items():
        cases = [case for case in group["cases"] if case["flavor"] == flavor]
        asked = sum(case["inputs"] for case in cases)
        mlflow = group["versions"].get("mlflow", "–")
        tried.append(f"| {name} | {_release(entry, group)} | {mlflow} | {len(cases)} | {asked} |")
    return _join(
        f"# {entry['title']}",
        _MADE,
        "## What is saved",
        _items(entry["saved"]) or "`servery.save_model` does not save these; stock mlflow does.",
        "## What is served",
        _items(entry["served"]),
        *(["## Worth knowing", _items(entry["notes"])] if entry.get("notes") else []),
        "## An example",
        f"```python\n{EXAMPLES[flavor]}```",
        "## What was tried",
        "\n".join(tried),
    )


def _groups(flavor: str, results: dict[str, Any]) -> dict[str, Any]:
    return {
        name: group
        for name, group in results["groups"].items()
        if any(case["flavor"] == flavor for case in group["cases"])
    }


def _release(entry: dict[str, Any], group: dict[str, Any]) -> str:
    found = [f"{name} {group['versions'][name]}" for name in entry["distributions"] if name in group["versions"]]
    return ", ".join(found) or "–"


def _items(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _join(*parts: str) -> str:
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    main()
