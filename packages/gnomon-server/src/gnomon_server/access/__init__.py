"""Who may: tokens and tenants, and which web pages may speak to this server at all."""
