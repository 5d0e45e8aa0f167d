"""The jobs that the commands run: each joins stages, none of which knows another."""
