"""Post-training quantization to int8 from real LR frames; needs no torch."""
