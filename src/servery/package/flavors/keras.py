"""Keras 3 models of the backends torch, jax and numpy, as ``mlflow.keras`` saves them.

Those of TensorFlow are saved as ``mlflow.tensorflow`` does, because there a stock mlflow reads the author's own layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.keras import CUSTOM_OBJECTS, predictor_of

FOLDER = "data"
_FRAMEWORKS = frozenset({"keras", "tensorflow"})


def takes(model: Any) -> bool:
    return is_a(model, "keras.Model") and not runs_on_tensorflow()


def runs_on_tensorflow() -> bool:
    """Whether Keras, which is imported, has TensorFlow as its backend."""
    import keras

    return bool(keras.backend.backend() == "tensorflow")


def save(model: Any, folder: Path) -> Saved:
    import keras

    data = folder / FOLDER
    data.mkdir()
    model.save(data / "model.keras")
    dump_custom_objects(model, data)
    (data / "keras_module.txt").write_text("keras")
    own = {
        "data": FOLDER,
        "keras_backend": keras.backend.backend(),
        "keras_version": keras.__version__,
        "save_exported_model": False,
    }
    entries: dict[str, dict[str, Any]] = {"python_function": {"loader_module": "mlflow.keras"}, "keras": own}
    return Saved("keras", entries, predictor_of(model))


def dump_custom_objects(model: Any, folder: Path) -> None:
    """Pickle what no other process could find: all that is registered with Keras, and the author's layers."""
    import keras

    objects = {type(part).__name__: type(part) for part in _parts(model) if not _is_of_framework(type(part))}
    objects.update(keras.saving.get_custom_objects())
    if objects:
        pickling.dump(objects, folder / CUSTOM_OBJECTS[0])


def _parts(model: Any) -> Iterator[Any]:
    """The model, its layers, and theirs."""
    yield model
    for layer in getattr(model, "layers", ()):
        yield from _parts(layer)


def _is_of_framework(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _FRAMEWORKS
