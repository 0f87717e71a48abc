"""Transports: they move encoded messages, and know nothing of what is in them."""

from plait.transport.base import Transport, TransportClosed

__all__ = ["Transport", "TransportClosed"]
