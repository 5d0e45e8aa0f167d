"""Images, letterbox and datasets."""
