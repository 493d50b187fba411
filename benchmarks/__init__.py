"""How fast the package is beside what one would use instead, measured side by side."""
