"""The conformance kit: checks that tell a vendor, with and without a device, whether a plug-in can be trusted."""
