"""A run folder onto a device: built, tested, judged and timed there."""
