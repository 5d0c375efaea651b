"""The registry: models, versions, aliases, tags, and the files behind them."""

from __future__ import annotations

from servery.registry.findings import Findings


class Registry(Findings):
    """All of it, over one database and one artifact store.

    Synchronous, for any thread. Each method is one transaction: acknowledged means on disk, and an error
    means that nothing has changed.
    """
