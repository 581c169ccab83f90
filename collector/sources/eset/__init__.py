"""ESET Connect."""
