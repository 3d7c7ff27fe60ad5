"""Alerts: the numbers that rules watch, the looks at them, and who is told."""
