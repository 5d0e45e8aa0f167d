"""Reading foreign checkpoints safely and turning them into one canonical form."""
