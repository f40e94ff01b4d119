"""The suites that come with npubench, one TOML file each."""
