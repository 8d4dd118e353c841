"""One script per claim of speed: `python -m benchmarks.NAME`, with `--json` for the figures alone."""
