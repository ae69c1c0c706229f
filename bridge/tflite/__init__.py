"""TFLite files: read, edit and write them (`model`), run them (`interpreter`)."""
