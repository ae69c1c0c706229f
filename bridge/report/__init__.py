"""The report: its schema, how it is assembled, the gates, and one file per format. Formats only render."""
