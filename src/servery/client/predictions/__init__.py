"""Calls for predictions: decided once, as generators of steps, and carried out twice, by threads and by asyncio.

``calls`` decides what is sent when, asking ``gateways`` where to, ``encodings`` in what form, ``retries`` whether once
more and ``answers`` what it means; it touches no socket. ``connections`` and ``async_connections`` carry steps out.
"""
