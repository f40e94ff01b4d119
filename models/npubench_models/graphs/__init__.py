"""Model graphs as ONNX: architectures written out node by node, and readers of the weight files that fill them."""
