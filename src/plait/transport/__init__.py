"""Transports: they move encoded messages, and know nothing of what is in them. `Client` sits on top."""

from plait.transport.base import Transport, TransportClosed
from plait.transport.client import Client
from plait.transport.connections import State

__all__ = ["Client", "State", "Transport", "TransportClosed"]
