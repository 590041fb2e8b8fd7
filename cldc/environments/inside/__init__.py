"""What runs inside the isolated environments; started by path, imports nothing of cldc."""
