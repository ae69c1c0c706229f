"""Callbacks of training frameworks; each module imports its framework, so none is loaded from here."""
