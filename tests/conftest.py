"""For every test: where all must run, a skip is a failure."""

import logging
import os

import pytest
import structlog


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where everything must run: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """Undo what a program under test, run in this process, has set for itself: levels, handlers, the log."""
    known = {name: logging.getLogger(name) for name in ("plait", "plait.rtc", "plait.rtc.native", "zeroconf")}
    before = {name: (log.level, log.propagate, log.handlers[:]) for name, log in known.items()}
    configured = structlog.get_config()
    yield
    structlog.configure(**configured)
    for name, (level, propagate, handlers) in before.items():
        known[name].setLevel(level)
        known[name].propagate = propagate
        known[name].handlers[:] = handlers
