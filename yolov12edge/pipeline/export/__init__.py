"""The export job: from a checkpoint to a judged run folder."""
