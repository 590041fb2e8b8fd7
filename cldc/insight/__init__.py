"""Insights from preflights: mistakes, suspicious labels, and what changed from one preflight to another."""
