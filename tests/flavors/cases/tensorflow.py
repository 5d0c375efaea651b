"""TensorFlow: Keras models in every format that its release writes, modules, and graphs as TensorFlow 1 made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.flavors.case import Case
from tests.flavors.cases import keras as models

_REQUIREMENTS = ["tensorflow"]
"""Given, because mlflow would load each model once more to find them."""
_FLOAT32 = 1e-5
"""How far answers of 32 bits may lie apart."""


def cases() -> list[Case]:
    return [
        Case("keras", models.sequential, _save, models.arrays, tolerance=_FLOAT32),
        Case("keras, h5", models.sequential, partial(_save, save_format="h5"), models.arrays, tolerance=_FLOAT32),
        Case("keras, two inputs by name", models.two_inputs, _save, models.named, tolerance=_FLOAT32),
        Case("keras, two outputs", models.two_outputs, _save, models.arrays, tolerance=_FLOAT32),
        Case("keras, own layers", _own_layers, _save, models.arrays, tolerance=_FLOAT32),
        Case(
            "keras, as before 2.0", models.sequential, _save_as_before_2, models.arrays, ours=False, tolerance=_FLOAT32
        ),
        Case("tf2-module", _module, _save_module, models.arrays, tolerance=_FLOAT32),
        Case(
            "tf1-estimator, a table",
            lambda: None,
            partial(_save_graph, _columns, "float64"),
            _tables,
            ours=False,
            tolerance=_FLOAT32,
        ),
        Case(
            "tf1-estimator, named arrays",
            lambda: None,
            partial(_save_graph, _tensors, "float32"),
            _named,
            ours=False,
            tolerance=_FLOAT32,
        ),
    ]


def _own_layers() -> Any:
    """Which only a package of this flavor carries along, so that another process finds them."""
    import keras

    @keras.saving.register_keras_serializable("servery_tests")
    class Scaled(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, factor: float = 1.0, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

        def get_config(self) -> Any:
            return {**super().get_config(), "factor": self.factor}

    layers = [keras.Input((64,)), Scaled(0.5), keras.layers.Dense(10, activation="softmax")]
    return models.fitted(keras.Sequential(layers), models.digits()[0])


def _save(model: Any, folder: str, **options: Any) -> None:
    import mlflow.tensorflow

    described = {"pip_requirements": _REQUIREMENTS, "signature": models.signature_of(model)}
    mlflow.tensorflow.save_model(model, folder, keras_model_kwargs=options, **described)


def _save_as_before_2(model: Any, folder: str) -> None:
    """The entries that mlflow 1 wrote, around a file of today."""
    import mlflow.tensorflow
    import yaml

    mlflow.tensorflow.save_model(
        model, folder, pip_requirements=_REQUIREMENTS, keras_model_kwargs={"save_format": "h5"}
    )
    file = Path(folder) / "MLmodel"
    fields = yaml.safe_load(file.read_text())
    own = fields["flavors"].pop("tensorflow")
    fields["flavors"]["keras"] = {
        "data": own["data"],
        "keras_module": "tensorflow.keras",
        "keras_version": own["keras_version"],
    }
    file.write_text(yaml.safe_dump(fields))
    (Path(folder) / "data" / "save_format.txt").unlink()


def _module() -> Any:
    import tensorflow as tf

    class Linear(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            data, target = models.digits()
            solved = tf.linalg.lstsq(data, tf.one_hot(target, 10), l2_regularizer=1.0)
            self.weights = tf.Variable(solved)

        @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, pixels: Any) -> Any:
            return tf.matmul(pixels, self.weights)

    return Linear()


def _save_module(module: Any, folder: str) -> None:
    import mlflow.tensorflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 64))]))
    mlflow.tensorflow.save_model(module, folder, pip_requirements=_REQUIREMENTS, signature=signature)


def _tables() -> Sequence[Any]:
    import pandas as pd

    return [pd.DataFrame(rows[:, 2:4].astype("float64"), columns=["left", "right"]) for rows in models.arrays()]


def _named() -> Sequence[Any]:
    return [{"left": rows[:, 2].copy(), "right": rows[:, 3].copy()} for rows in models.arrays()]


def _columns() -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec("double", "left"), ColSpec("double", "right")])


def _tensors() -> Any:
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    return Schema([TensorSpec(np.dtype("float32"), (-1,), name) for name in ("left", "right")])


def _save_graph(inputs: Callable[[], Any], dtype: str, _: Any, folder: str) -> None:
    """A graph with a named signature, which no mlflow of today saves, but each loads."""
    import mlflow.pyfunc
    import tensorflow as tf
    from mlflow.models import Model, ModelSignature

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        left, right = (v1.placeholder(dtype, [None], name) for name in ("left", "right"))
        weight = v1.get_variable("weight", initializer=tf.constant(3.0, dtype))
        outputs = {"sum": left + weight * right, "both": tf.stack([left, right], axis=1), "one": left[:, None] * 2}
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(f"{folder}/tfmodel")
        signature = v1.saved_model.predict_signature_def({"left": left, "right": right}, outputs)
        builder.add_meta_graph_and_variables(session, ["serve"], {"predict": signature})
        builder.save()
    model = Model(signature=ModelSignature(inputs()))
    model.add_flavor(
        "tensorflow", saved_model_dir="tfmodel", meta_graph_tags=["serve"], signature_def_key="predict", code=None
    )
    mlflow.pyfunc.add_to_model(model, loader_module="mlflow.tensorflow")
    model.save(f"{folder}/MLmodel")
