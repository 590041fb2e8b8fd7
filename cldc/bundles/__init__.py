"""What submissions and remote preflights share on a server: worksheets, uploads and runs that are found before they are made.

Everything that cldc makes is on a worksheet of its own, where a bundle is known by its type, its name and what it was
made from. So a client that was killed after the server did its bidding finds that bundle and makes no second one.
"""
