"""What vendors declare of their devices, one TOML file a vendor; see ``npubench.plan.hardware`` for the fields."""
