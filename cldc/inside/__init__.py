"""What cldc and its programs in isolated environments share; imports nothing of cldc, valid Python 3.8."""
