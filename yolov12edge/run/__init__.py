"""The run folder: its file names, its manifest, the recipe it followed, how it is filled."""
