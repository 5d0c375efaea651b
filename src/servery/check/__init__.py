"""What can be known of a package before callers meet it: ``servery check``."""
