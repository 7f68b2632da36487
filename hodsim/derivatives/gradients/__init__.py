"""Derivatives of plain chains that themselves are differentiated: losses' penalties, by tiles."""
