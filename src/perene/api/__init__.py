"""Perene over HTTP: sessions, messages, health and their description."""
