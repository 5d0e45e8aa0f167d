"""The export job: the stages in order, the run folder, the manifest, the recipes."""
