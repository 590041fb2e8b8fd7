"""Code that cldc shares with its programs in isolated environments; imports nothing of cldc, valid Python 3.8."""
