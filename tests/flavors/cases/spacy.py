"""spaCy: text categorisers.

No trained pipeline can be downloaded here. Blank ones are trained to tell from a sentence of the Python language
reference, which every Python brings along (``pydoc_data``), which chapter it is from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.flavors.case import Case

_CHAPTERS = ("comparisons", "import", "strings", "try")


def cases() -> list[Case]:
    return [
        Case("categories that exclude each other", lambda: _trained("textcat"), _save_with_signature, _texts),
        Case("several categories a text", lambda: _trained("textcat_multilabel"), _save, _texts),
        Case("after another component", _after_sentencizer, _save, _texts),
    ]


def _save(model: Any, folder: str) -> None:
    import mlflow.spacy

    mlflow.spacy.save_model(model, folder, pip_requirements=[])


def _save_with_signature(model: Any, folder: str) -> None:
    import mlflow.spacy
    from mlflow.models import infer_signature

    mlflow.spacy.save_model(model, folder, signature=infer_signature(_texts()[0]), pip_requirements=[])


def _sentences() -> list[tuple[str, str]]:
    """Sentences and the chapter that each is from."""
    from pydoc_data.topics import topics

    found = [
        (" ".join(sentence.split()), chapter)
        for chapter in _CHAPTERS
        for sentence in re.split(r"(?<=\.)\s", topics[chapter])
    ]
    return [(sentence, chapter) for sentence, chapter in found if len(sentence) > 30]


def _trained(component: str, *before: str) -> Any:
    import spacy
    from spacy.training import Example
    from spacy.util import fix_random_seed

    fix_random_seed(0)
    pipeline = spacy.blank("en")
    for name in before:
        pipeline.add_pipe(name)
    pipeline.add_pipe(component)
    examples = [
        Example.from_dict(pipeline.make_doc(text), {"cats": {name: float(name == chapter) for name in _CHAPTERS}})
        for text, chapter in _sentences()
    ]
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(2):
        pipeline.update(examples, sgd=optimizer)
    return pipeline


def _after_sentencizer() -> Any:
    return _trained("textcat", "sentencizer")


def _texts() -> Sequence[Any]:
    import pandas as pd

    texts = [text for text, _ in _sentences()]
    return [
        pd.DataFrame({"text": texts[::10][:4]}),
        pd.DataFrame({"text": ["Numbers are immutable."]}),
        pd.DataFrame({"text": ["", "naïve — \U0001f40d", "a" * 500]}),
    ]
