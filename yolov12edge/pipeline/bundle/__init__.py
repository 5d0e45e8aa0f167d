"""A run folder as a C++ project."""
