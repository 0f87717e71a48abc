"""The command line: one file a verb, put together by `main`."""
