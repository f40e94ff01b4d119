"""Judge what the audits of a run observed: a file an audit. Pure functions; nothing is carried out here."""
