"""The loader of a model that servery saved from plain Python; it needs cloudpickle and nothing of servery.

MLflow calls ``_load_pyfunc`` with the path of the ``data`` entry of the MLmodel file.
"""

from __future__ import annotations


def _load_pyfunc(path: str) -> object:
    import cloudpickle

    with open(path, "rb") as file:
        model: object = cloudpickle.load(file)  # The person who loads a package has chosen to trust it.
    return model
