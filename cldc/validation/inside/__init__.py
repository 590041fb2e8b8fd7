"""Runs in environments: TensorFlow decodes images, and numpy compares drawings with warped copies."""
