"""The stages of an export that are commands of their own too, and what they share."""
