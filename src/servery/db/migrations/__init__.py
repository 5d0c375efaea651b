"""The steps that bring a database of any earlier release to this one's form; run by ``engine.migrate``."""
