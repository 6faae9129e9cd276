"""The seven services, and the outside that they depend on."""

QUEUE = "orders"  # from checkout to notification
