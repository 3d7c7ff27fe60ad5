"""Decisions: pure functions and frozen data. Standard library only; imports nobody of ours."""
