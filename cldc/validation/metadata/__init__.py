"""The metadata in image files: `detection` finds it, `removal` removes it."""
