"""Timing, statistics and the environment they were taken in."""
