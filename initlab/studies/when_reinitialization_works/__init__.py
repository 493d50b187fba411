"""Chapter 4: when re-initialization works."""
