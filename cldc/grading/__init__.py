"""Grade a class's hand-ins without a server.

`handed_in` finds each student's dataset, `scoring` runs the competition's evaluation on predictions, and `grader` puts these
together with the validation and training of every other command, and finds content that several students have.
"""
