"""transformers: a pipeline of each task that mlflow serves, over the forms of input that its callers send."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.flavors import language
from tests.flavors.case import Case

_TOLERANCE = 1e-4
"""The weights have 32 bits, and rows that are asked together are multiplied in another order."""


def cases() -> list[Case]:
    return [
        _case("text-classification", _classifier, _texts),
        _case("text-classification, pairs", _classifier, _pairs),
        _case("text-classification, every label", _classifier, partial(_texts, params={"top_k": 3})),
        _case("zero-shot-classification", _entailment, _labelled),
        _case("token-classification", _tagger, _texts),
        _case("token-classification, grouped", _tagger, _texts, model_config={"aggregation_strategy": "simple"}),
        _case("fill-mask", _masked, _with_gaps),
        _case("text-generation", _generator, _texts, ours=True, model_config=_BRIEFLY),
        _case("text-generation, with params", _generator, _with_params, ours=True, model_config=_BRIEFLY),
        _case("text-generation, in a template", _generator, _texts, prompt_template=_TEMPLATE, model_config=_BRIEFLY),
        _case("text-generation, without a signature", _generator, _texts, signature=False, model_config=_BRIEFLY),
        _case("feature-extraction", _encoder, _texts),
        _case("feature-extraction, in a template", _encoder, _texts, prompt_template="query: {prompt}"),
        *_tasks_after_2_9(),
        *_tasks_before_5(),
        *_openai(),
    ]


_BRIEFLY = {"max_new_tokens": 8, "do_sample": False}
"""How the generating pipelines are made. mlflow forgets that unless it is told; Servery keeps it."""
_AS_BRIEFLY = {"max_new_tokens": 8, "num_beams": 1}
_IN_ONE_LINE = {"include_prompt": False, "collapse_whitespace": True}
_TEMPLATE = "Q: {prompt}\nA:"


def _case(
    name: str,
    model: Callable[[], Any],
    inputs: Callable[[], Sequence[Any]],
    *,
    ours: bool | None = None,
    **options: Any,
) -> Case:
    """``options`` are mlflow's; with any, a pipeline alone may not say what is saved, and ours is not asked."""
    chosen = not options if ours is None else ours
    return Case(name, model, partial(_save, inputs=inputs, **options), inputs, ours=chosen, tolerance=_TOLERANCE)


def _tasks_after_2_9() -> list[Case]:
    """mlflow 2.9 does not save these, or cannot be asked these."""
    import mlflow

    if mlflow.__version__.startswith("2.9."):
        return []
    return [
        _case("fill-mask, in a template", _masked, _texts, prompt_template="[MASK]: {prompt}"),
        _case("text-generation, in one line", _generator, _texts, model_config={**_BRIEFLY, **_IN_ONE_LINE}),
        _case("image-classification", _images, _pictures),
        _case("automatic-speech-recognition", _hearing, _sounds),
        _case("automatic-speech-recognition, timed", _hearing, _sounds, model_config={"return_timestamps": "char"}),
        _case("audio-classification", _listener, _sounds),
    ]


def _tasks_before_5() -> list[Case]:
    """transformers 5 has dropped these; its tokenizer of tables cannot do with the pandas that comes with it."""
    import transformers

    if int(transformers.__version__.partition(".")[0]) >= 5:
        return []
    return [
        _case("question-answering", _answerer, _questions),
        _rewriting("text2text-generation", "text2text-generation", _texts),
        _rewriting("text2text-generation, of fields", "text2text-generation", _fields),
        _rewriting("summarization", "summarization", _texts),
        _rewriting("translation", "translation_en_to_de", _texts),
        _case("table-question-answering", _table_reader, _table_questions),
    ]


def _rewriting(name: str, task: str, inputs: Callable[[], Sequence[Any]]) -> Case:
    return _case(name, partial(_rewriter, task), inputs, ours=True, model_config=_AS_BRIEFLY)


def _openai() -> list[Case]:
    import mlflow.transformers

    if not hasattr(mlflow.transformers, "_LLM_INFERENCE_TASK_CHAT"):
        return []
    return [
        _case("llm/v1/chat", _generator, _chats, task="llm/v1/chat", model_config=_BRIEFLY),
        _case("llm/v1/completions", _generator, _prompts, task="llm/v1/completions", model_config=_BRIEFLY),
        _case("llm/v1/embeddings", _encoder, _embedded, task="llm/v1/embeddings"),
    ]


def _save(model: Any, folder: str, *, inputs: Callable[[], Sequence[Any]], **options: Any) -> None:
    """Without a task of OpenAI's, the signature is inferred of the first input."""
    import mlflow.transformers

    example = None if "task" in options or "signature" in options else inputs()[0]
    mlflow.transformers.save_model(model, folder, input_example=example, pip_requirements=["transformers"], **options)


def _pipeline(task: str, model: Any, **more: Any) -> Any:
    import transformers

    return transformers.pipeline(task, model=model, device=-1, **more)


def _classifier() -> Any:
    model, tokenizer = language.bert("BertForSequenceClassification", "flower", "wine", "patient")
    return _pipeline("text-classification", model, tokenizer=tokenizer)


def _entailment() -> Any:
    model, tokenizer = language.bert("BertForSequenceClassification", "contradiction", "neutral", "entailment")
    return _pipeline("zero-shot-classification", model, tokenizer=tokenizer)


def _tagger() -> Any:
    model, tokenizer = language.bert("BertForTokenClassification", "B-PER", "I-PER", "B-LOC", "I-LOC")
    return _pipeline("token-classification", model, tokenizer=tokenizer)


def _answerer() -> Any:
    model, tokenizer = language.bert("BertForQuestionAnswering")
    return _pipeline("question-answering", model, tokenizer=tokenizer)


def _masked() -> Any:
    model, tokenizer = language.bert("BertForMaskedLM")
    return _pipeline("fill-mask", model, tokenizer=tokenizer)


def _generator() -> Any:
    model, tokenizer = language.gpt2()
    return _pipeline("text-generation", model, tokenizer=tokenizer, **_BRIEFLY)


def _rewriter(task: str) -> Any:
    model, tokenizer = language.t5()
    return _pipeline(task, model, tokenizer=tokenizer, **_AS_BRIEFLY)


def _encoder() -> Any:
    model, tokenizer = language.bert("BertModel")
    return _pipeline("feature-extraction", model, tokenizer=tokenizer)


def _table_reader() -> Any:
    model, tokenizer = language.tapas()
    return _pipeline("table-question-answering", model, tokenizer=tokenizer)


def _images() -> Any:
    model, processor = language.vit()
    return _pipeline("image-classification", model, image_processor=processor)


def _hearing() -> Any:
    model, extractor = language.wav2vec2("Wav2Vec2ForCTC", vocab_size=31)
    return _pipeline("automatic-speech-recognition", model, feature_extractor=extractor, tokenizer=language.letters())


def _listener() -> Any:
    model, extractor = language.wav2vec2("Wav2Vec2ForSequenceClassification", num_labels=3)
    return _pipeline("audio-classification", model, feature_extractor=extractor)


def _texts(params: dict[str, Any] | None = None) -> Sequence[Any]:
    import pandas as pd

    first, second, third, *_ = language.texts()
    asked = [
        first,
        [second],
        [first, second, third],
        pd.DataFrame({0: [second, third]}),
        "'quoted'",
        "Straße, 東京",
    ]
    return asked if params is None else [(text, params) for text in asked]


def _pairs() -> Sequence[Any]:
    first, second, third, *_ = language.texts()
    pair = {"text": first, "text_pair": second}
    return [[pair], pair, [pair, {"text": third, "text_pair": first}]]


def _labelled() -> Sequence[Any]:
    import pandas as pd

    first, second, *_ = language.texts()
    labels, template = ["flower", "wine", "patient"], "This text is about {}."
    one = {"sequences": first, "candidate_labels": json.dumps(labels), "hypothesis_template": template}
    many = {"sequences": [first, second], "candidate_labels": [one["candidate_labels"]] * 2}
    return [
        one,
        {**one, "candidate_labels": json.dumps(labels[:2])},
        pd.DataFrame({**many, "hypothesis_template": template}),
    ]


def _questions() -> Sequence[Any]:
    import pandas as pd

    first, second, *_ = language.texts()
    one, other = {"question": "What is taken?", "context": first}, {"question": "Is it linear?", "context": second}
    return [one, [one, other], pd.DataFrame([one, other]), pd.DataFrame([other])]


def _with_gaps() -> Sequence[Any]:
    first, second, *_ = language.texts()
    gaps = [text.replace(" is ", " [MASK] ", 1) + " [MASK]." for text in (first, second)]
    return ["The data set is [MASK].", [f"[MASK] {first}", f"{second} [MASK]"], gaps[0], gaps]


def _with_params() -> Sequence[Any]:
    first, second, *_ = language.texts()
    return [
        (first, {"max_new_tokens": 4, "return_full_text": True}),
        ([first, second], {"max_new_tokens": 6, "return_full_text": False}),
        (second, None),
    ]


def _fields() -> Sequence[Any]:
    first, second, *_ = language.texts()
    fields = {"context": first, "answer": "the paper"}
    return [fields, [fields], [fields, {"context": second, "answer": "it is"}]]


def _table_questions() -> Sequence[Any]:
    table = {"flower": ["setosa", "versicolor", "virginica"], "petals": ["1.4", "4.3", "5.6"]}
    asked = ["What is setosa?", "How many petals are there?"]
    return [{"query": query, "table": json.dumps(table)} for query in asked] + [
        [{"query": query, "table": json.dumps(table)} for query in asked]
    ]


def _pictures() -> Sequence[Any]:
    import pandas as pd
    from PIL import Image
    from sklearn.datasets import load_sample_images

    encoded = []
    for pixels in load_sample_images().images:
        written = io.BytesIO()
        Image.fromarray(pixels).resize((48, 32)).save(written, "PNG")
        encoded.append(base64.b64encode(written.getvalue()).decode())
    return [encoded[0], encoded[1], encoded, pd.DataFrame({"image": encoded})]


def _sounds() -> Sequence[Any]:
    import numpy as np

    seconds = np.arange(3200) / 16000
    return [np.sin(2 * np.pi * tone * seconds).astype("float32") for tone in (220, 440, 3000)]


def _chats() -> Sequence[Any]:
    first, second, *_ = language.texts()
    said = [{"role": "user", "content": first}]
    return [
        {"messages": said},
        {"messages": [{"role": "system", "content": second}, *said], "max_tokens": 3},
        {"messages": said, "max_tokens": 12, "temperature": 0.0},
    ]


def _prompts() -> Sequence[Any]:
    first, second, *_ = language.texts()
    return [{"prompt": first}, {"prompt": second, "max_tokens": 3}, {"prompt": first, "max_tokens": 12}]


def _embedded() -> Sequence[Any]:
    first, second, *_ = language.texts()
    return [{"input": first}, {"input": second}, {"input": [first, second]}]
