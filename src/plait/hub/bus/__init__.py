"""Publish and subscribe between the rooms and whoever watches."""
