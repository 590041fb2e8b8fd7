"""Describe a result as a `Document` of lines and tables, which `formats` writes as text, JSON, a page and so on."""
