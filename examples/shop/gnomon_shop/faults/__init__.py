"""What is wrong in the shop, where, when and how strongly: planned, felt by the services, written down as truth."""
