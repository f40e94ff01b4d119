"""What is run: workload manifests, graphs and suites. Holds no machinery of its own."""
