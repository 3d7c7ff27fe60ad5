"""SQL storage on SQLite and PostgreSQL: one module per aggregate; key material is sealed."""
