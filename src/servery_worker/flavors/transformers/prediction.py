"""From what a caller sends to what MLflow's pyfunc answers, for a pipeline of any of its tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from servery_worker.flavors import LoadError
from servery_worker.flavors.transformers import inputs, media, openai, outputs


class _Task(NamedTuple):
    read: Callable[[Any], Any]
    """A caller's input to the pipeline's; raises ValueError or TypeError with a sentence for the caller."""
    shape: Callable[[Any, Any, outputs.Asked], Any]
    """The pipeline's output, and its input, to the answer."""
    templated: bool = False
    """The model's prompt template goes around each text."""


_TASKS = {
    "TranslationPipeline": _Task(inputs.texts, outputs.field("translation_text")),
    "SummarizationPipeline": _Task(inputs.texts, outputs.field("summary_text"), templated=True),
    "Text2TextGenerationPipeline": _Task(inputs.described_texts, outputs.field("generated_text"), templated=True),
    "TextGenerationPipeline": _Task(inputs.texts, outputs.generated, templated=True),
    "InstructionTextGenerationPipeline": _Task(inputs.texts, outputs.generated),
    "QuestionAnsweringPipeline": _Task(inputs.questions, outputs.field("answer")),
    "FillMaskPipeline": _Task(inputs.texts, outputs.likeliest, templated=True),
    "TextClassificationPipeline": _Task(inputs.text_pairs, outputs.table),
    "ImageClassificationPipeline": _Task(media.images, outputs.table),
    "ZeroShotClassificationPipeline": _Task(inputs.labelled, outputs.label_table),
    "TableQuestionAnsweringPipeline": _Task(inputs.table_questions, outputs.field("answer")),
    "TokenClassificationPipeline": _Task(inputs.sequences, outputs.entities),
    "FeatureExtractionPipeline": _Task(inputs.sequences, outputs.features, templated=True),
    "ConversationalPipeline": _Task(inputs.utterance, outputs.reply),
    "AutomaticSpeechRecognitionPipeline": _Task(media.sounds, outputs.transcript),
    "AudioClassificationPipeline": _Task(media.sounds, outputs.table),
}
"""By the pipeline's class; of a subclass the nearest counts."""


def task_of(pipeline: Any) -> _Task | None:
    """How the pipeline is asked, or None: MLflow serves no such pipeline."""
    return next((_TASKS[kind.__name__] for kind in type(pipeline).__mro__ if kind.__name__ in _TASKS), None)


def predictor_of(
    pipeline: Any, entry: Mapping[str, Any], options: Mapping[str, Any], template: str | None
) -> Callable[[Any, Any], Any]:
    """``predict(data, params)``.

    ``entry`` is the MLmodel's flavor, ``options`` go to each call of the pipeline and give way to params, ``template``
    is a text with ``{prompt}``. Raises LoadError for a pipeline that MLflow does not serve.
    """
    task = task_of(pipeline)
    if task is None:
        raise LoadError(f"A {type(pipeline).__name__} is expected to be of a task that MLflow serves; it is not.")
    prepare = openai.preparation_of(entry, pipeline)

    def predict(data: Any, params: Any) -> Any:
        chosen = {**copy.deepcopy(dict(options)), **(params or {})}
        if prepare is not None:
            data, chosen = prepare(data, chosen)
        given = task.read(inputs.plain_input(data, type(pipeline).__name__))
        if task.templated and template:
            given = inputs.in_template(given, template)
        asked = outputs.Asked(
            entry,
            pipeline,
            include_prompt=chosen.pop("include_prompt", True),
            collapse_whitespace=chosen.pop("collapse_whitespace", False),
            options=chosen,
        )
        return task.shape(_call(pipeline, given, chosen), given, asked)

    return predict


def _call(pipeline: Any, given: Any, options: Mapping[str, Any]) -> Any:
    try:
        if isinstance(given, dict):
            return pipeline(**given, **options)
        return pipeline(given, **options)
    except ValueError as error:
        if "`model_kwargs` are not used by the model" in str(error):
            kind = type(pipeline).__name__
            raise ValueError(f"The params are expected to be such as a {kind} takes: {error}") from error
        raise
