"""What a network costs: counted, estimated against a device, or measured on this host."""
