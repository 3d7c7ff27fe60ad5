"""Perene keeps WhatsApp linked-device sessions alive and complete."""

__version__ = "0.1.0"
