"""Plait: WebSocket for state and commands, WebRTC for video and fast data, one link between them."""

__version__ = "0.1.0"
