"""Two spam filters: a quick one from a few messages, and a better one from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servery.cli.quickstart.corpus import Corpus, Message
from servery.errors import SetupError

_FEW = 60
"""As many messages does the first filter see."""


def check_libraries() -> None:
    """Raises SetupError where scikit-learn is not installed."""
    try:
        import pandas
        import sklearn
    except ImportError as error:
        raise SetupError(
            f"The quickstart trains with scikit-learn, and {error.name} is missing: pip install 'servery[sklearn]'."
        ) from None
    del pandas, sklearn


def train_first(corpus: Corpus) -> Any:
    """Counts the words of a few messages."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return _fit(make_pipeline(CountVectorizer(max_features=80), MultinomialNB()), corpus.learn[:_FEW])


def train_better(corpus: Corpus) -> Any:
    """Counts words and pairs of words of all messages."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return _fit(make_pipeline(CountVectorizer(ngram_range=(1, 2)), MultinomialNB()), corpus.learn)


def accuracy(model: Any, messages: Sequence[Message]) -> float:
    """The share of messages that the model gives their label."""
    answers = model.predict(texts(messages))
    return float(sum(answer == message.label for answer, message in zip(answers, messages, strict=True))) / len(
        messages
    )


def package(model: Any, corpus: Corpus, folder: Path) -> None:
    """Save the model as a package that shows what it takes."""
    import servery

    servery.save_model(model, folder, input_example=texts(corpus.examine[:2]))


def texts(messages: Sequence[Message]) -> Any:
    """An array of text: the form in which the filters take messages."""
    import numpy

    return numpy.array([message.text for message in messages])


def _fit(model: Any, messages: Sequence[Message]) -> Any:
    return model.fit(texts(messages), [message.label for message in messages])
