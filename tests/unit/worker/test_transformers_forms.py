"""The forms that transformers' pipelines are asked in and answer in; the pipelines themselves are in the matrix."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, UnidentifiedImageError

from servery_worker.flavors.transformers import inputs, media, openai, outputs

ASKED = outputs.Asked({}, None, include_prompt=True, collapse_whitespace=False, options={})


@pytest.mark.parametrize("data", [pd.DataFrame({0: ["a", "b"]}), ["a", "b"], [{"text": "a"}, {"text": "b"}]])
def test_texts_are_taken_from_a_table_a_list_and_dicts(data: Any) -> None:
    assert inputs.texts(inputs.plain_input(data, "FillMaskPipeline")) == ["a", "b"]


@pytest.mark.parametrize("data", [{"text": "a"}, [{"text": 1}], b"a"])
def test_what_is_no_text_is_refused_with_its_type(data: Any) -> None:
    with pytest.raises(ValueError, match="expected to be a text or a list of texts; it is a"):
        inputs.texts(data)


@pytest.mark.parametrize("data", [7, [1, 2], ["a", 1]])
def test_what_no_pipeline_takes_is_refused_with_its_type(data: Any) -> None:
    with pytest.raises(TypeError, match="int"):
        inputs.plain_input(data, "FillMaskPipeline")


def test_named_fields_become_one_text_and_an_unnamed_one_stays_itself() -> None:
    assert inputs.described_texts([{"context": "c", "answer": "a"}]) == ["context: c answer: a"]
    assert inputs.described_texts({"context": "c", "answer": "a"}) == "context: c answer: a"
    assert inputs.described_texts([{0: "c"}, {0: "d"}]) == ["c", "d"]


def test_a_pair_written_as_text_in_a_table_is_a_pair_again() -> None:
    pair = {"text": "a", "text_pair": "it's"}
    assert inputs.text_pairs([{0: str(pair)}]) == [pair]
    assert inputs.text_pairs([pair]) == [pair]


@pytest.mark.parametrize("text", ["123", "[1, 2]", "None", "a (b"])
def test_a_text_that_only_looks_like_a_value_stays_a_text(text: str) -> None:
    assert inputs.text_pairs([{0: text}]) == [text]


def test_a_classifier_refuses_other_fields_by_name() -> None:
    with pytest.raises(ValueError, match="text and text_pair only; it has 'sentence'"):
        inputs.text_pairs([{"sentence": "a"}])


def test_questions_are_asked_by_keywords() -> None:
    rows = [{"question": "q", "context": "c"}, {"question": "r", "context": "d"}]
    assert inputs.questions(rows) == {"question": ["q", "r"], "context": ["c", "d"]}
    assert inputs.questions(rows[0]) == rows[0]
    with pytest.raises(ValueError, match="question and context; it has 'question'"):
        inputs.questions({"question": "q"})


def test_labels_are_read_from_json_and_each_given_once() -> None:
    frame = pd.DataFrame({"sequences": ["a", "b"], "candidate_labels": ['["x", "y"]'] * 2})
    given = inputs.plain_input(frame, "ZeroShotClassificationPipeline")
    assert inputs.labelled(given) == {"sequences": ["a", "b"], "candidate_labels": ["x", "y"]}


def test_questions_about_one_table_are_gathered() -> None:
    rows = [{"query": query, "table": '{"n": ["1"]}'} for query in ("a", "b", "a")]
    assert inputs.table_questions(rows) == {"query": ["a", "b", "a"], "table": {"n": ["1"]}}
    with pytest.raises(ValueError, match="one dict of columns; it is a list"):
        inputs.table_questions([rows[0], {"query": "b", "table": "{}"}])


def test_an_image_comes_as_base64() -> None:
    written = io.BytesIO()
    Image.new("RGB", (2, 3)).save(written, "PNG")
    [image] = media.images([{"image": base64.b64encode(written.getvalue()).decode()}])
    assert image.size == (2, 3)


@pytest.mark.parametrize("place", ["https://example.com/a.png", "/etc/hostname", "no such file" + "." * 20])
def test_nothing_that_a_caller_names_is_opened(place: str) -> None:
    with pytest.raises(ValueError, match="files and addresses are not opened"):
        media.images(place)
    with pytest.raises(TypeError, match="files and addresses are not opened"):
        media.sounds(place)


def test_base64_that_is_a_files_name_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (2, 3)).save(tmp_path / "data", "PNG")
    with pytest.raises(UnidentifiedImageError):
        media.images("data")


def test_a_sound_is_decoded_and_a_list_of_one_is_that_sound() -> None:
    assert media.sounds([{0: base64.b64encode(b"RIFF....")}]) == b"RIFF...."
    assert media.sounds(b"RIFF\x00") == b"RIFF\x00"
    assert media.sounds(np.zeros(3)).tolist() == [0, 0, 0]


def test_a_text_without_entities_is_answered_with_an_empty_one() -> None:
    assert outputs.entities([[{"entity": "A"}, {"entity": "B"}], []], ["x", "y"], ASKED) == ["A,B", ""]
    assert outputs.entities([], "x", ASKED) == [""]


def test_the_likeliest_word_is_given_for_each_mask() -> None:
    word = [{"token_str": " a "}, {"token_str": "b"}]
    assert outputs.likeliest(word, "x [MASK]", ASKED) == ["a"]
    assert outputs.likeliest([word, [word, word]], ["x", "y"], ASKED) == ["a", ["a", "a"]]


def test_generated_text_is_stripped_and_put_in_one_line_on_wish() -> None:
    raw = [[{"generated_text": " a\n b "}], [{"generated_text": "c"}]]
    assert outputs.generated(raw, ["x", "y"], ASKED) == ["a\n b", "c"]
    assert outputs.generated(raw, ["x", "y"], ASKED._replace(collapse_whitespace=True)) == ["a b", "c"]


def test_a_prompt_that_a_pipeline_repeats_is_left_out_on_wish() -> None:
    asked = ASKED._replace(entry={"instance_type": "InstructionTextGenerationPipeline"}, include_prompt=False)
    assert outputs.generated([{"generated_text": "why?\n\nA: so"}], "why?", asked) == ["so"]


def test_embeddings_count_the_tokens_of_all_texts() -> None:
    given = openai.embeddings(["a b", "c"], [[0.5], [0.25]], lambda text: {"input_ids": text.split()})
    assert given["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [entry["index"] for entry in given["data"]] == [0, 1]
