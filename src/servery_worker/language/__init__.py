"""Language models as callers of OpenAI's API and of the generate extension know them.

``requests`` makes of a body what the model takes; ``texts`` finds what a model said, in whatever form it said it;
``chat``, ``completions``, ``embeddings`` and ``generated`` write that as their protocol has it.
"""
