"""Trials of mixed precision: one float file quantized in many ways, each measured on the same samples."""
