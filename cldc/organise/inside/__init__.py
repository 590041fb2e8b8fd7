"""Programs of the organiser's side, run by the `codalab` environment's Python; they import nothing of cldc."""
