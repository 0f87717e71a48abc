"""Benchmarks, one file a name: `python -m benchmarks NAME [--json] [--quick]`."""
