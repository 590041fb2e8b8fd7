"""What a preflight teaches: mistakes, labels that look wrong, and what changed from one preflight to another."""
