"""The images that calibrate and that judge."""
