"""Programs that run inside the isolated environments; they are started by path and import nothing of cldc."""
