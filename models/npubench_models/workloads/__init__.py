"""One workload a pair of files: ``<stem>.toml``, the manifest, and ``<stem>.py`` with ``build`` and ``score``."""
