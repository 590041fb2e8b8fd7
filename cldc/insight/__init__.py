"""What a preflight shows: mistakes, suspicious labels, and what changed from one preflight to another."""
