"""The guest: what runs beside a model, inside the model's own environment.

It imports the standard library only; numpy, pandas, orjson and the model's framework are imported late, where
the model's environment has them. It runs on Python 3.9 and newer, because models do.
"""
