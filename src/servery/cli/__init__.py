"""The command line: one file a command group. Only ``main`` is imported for ``servery --help``; the rest is late."""
