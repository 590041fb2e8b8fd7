"""What image files carry beside their pictures: `finding` finds it, `removal` removes it."""
