"""Worksheets, uploads and runs on a server, shared by submissions and remote preflights: found before they are created.

Everything that cldc creates is on its own worksheet, where a bundle is identified by its type, its name and its
dependencies. So a client that was killed after the server created a bundle finds it and creates no second one.
"""
