"""Grades what a class handed in without a server: found and unpacked, scored on the hidden test set, compared.

`handed_in` finds each student's dataset, `scoring` runs the competition's evaluation on predictions, `shared` finds content that
several students have. Validation and training are those of every other command; the command line puts them together.
"""
