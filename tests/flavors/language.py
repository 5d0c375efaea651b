"""Small language, image and sound models, made on the spot: their weights are random, their words come of real text."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

_WORDS = 600
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
# The usual spread would make a small random model answer everything alike.
_SPREAD = {"initializer_range": 0.4}


def texts() -> list[str]:
    """Sentences from the descriptions of scikit-learn's data sets."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

    found = " ".join(load().DESCR for load in (load_iris, load_wine, load_diabetes, load_breast_cancer))
    sentences = [" ".join(sentence.split()) for sentence in found.split(". ")]
    return [sentence for sentence in sentences if 5 <= len(sentence.split()) <= 25 and "=" not in sentence]


def bert(kind: str, *labels: str) -> tuple[Any, Any]:
    """A model of one of BERT's classes, such as ``BertForMaskedLM``, and its tokenizer."""
    import torch
    import transformers

    tokenizer = _word_pieces("BertTokenizerFast")
    config = transformers.BertConfig(vocab_size=len(tokenizer), **_SIZES, **_SPREAD)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    torch.manual_seed(7)
    return getattr(transformers, kind)(config).eval(), tokenizer


def tapas() -> tuple[Any, Any]:
    """A model that answers questions about tables."""
    import torch
    import transformers

    tokenizer = _word_pieces("TapasTokenizer")
    config = transformers.TapasConfig(vocab_size=len(tokenizer), **_SIZES, **_SPREAD)
    torch.manual_seed(7)
    return transformers.TapasForQuestionAnswering(config).eval(), tokenizer


def _word_pieces(kind: str) -> Any:
    import transformers
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(lowercase=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EMPTY]"]
    trained.train_from_iterator(texts(), vocab_size=_WORDS, special_tokens=special, show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        trained.save_model(folder)
        (Path(folder) / "tokenizer_config.json").write_text(f'{{"tokenizer_class": "{kind}", "model_max_length": 128}}')
        return getattr(transformers, kind).from_pretrained(folder)


def gpt2() -> tuple[Any, Any]:
    """A model that goes on with a text."""
    import torch
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts(), vocab_size=_WORDS, special_tokens=["<|endoftext|>"], show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        trained.save_model(folder)
        (Path(folder) / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
        tokenizer = transformers.GPT2TokenizerFast.from_pretrained(folder)
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256, **_SPREAD, **ends
    )
    torch.manual_seed(7)
    return transformers.GPT2LMHeadModel(config).eval(), tokenizer


def t5() -> tuple[Any, Any]:
    """A model that turns a text into another."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=_WORDS, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(texts(), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=4.0
    )
    config.decoder_start_token_id = tokenizer.pad_token_id
    torch.manual_seed(7)
    return transformers.T5ForConditionalGeneration(config).eval(), tokenizer


def vit() -> tuple[Any, Any]:
    """A model that puts images into one of three classes."""
    import torch
    import transformers

    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=3, **_SIZES, **_SPREAD)
    torch.manual_seed(7)
    return transformers.ViTForImageClassification(config).eval(), processor


def wav2vec2(kind: str, **more: Any) -> tuple[Any, Any]:
    """A model of one of Wav2Vec2's classes over sounds of 16 kHz, and what it extracts of them."""
    import torch
    import transformers

    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=16000)
    layers = {"conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (5, 8), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    config = transformers.Wav2Vec2Config(**_SIZES, **_SPREAD, **layers, **positions, **more)
    torch.manual_seed(7)
    return getattr(transformers, kind)(config).eval(), extractor


def letters() -> Any:
    """The tokenizer of a model that writes letters for sounds."""
    import json

    import transformers

    names = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
        return transformers.Wav2Vec2CTCTokenizer(f"{folder}/vocab.json")
