"""Where a version's workers run: which Python environment, made by whom, with which environment variables."""
