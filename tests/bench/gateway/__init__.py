"""What a gateway's connections carry, and how long it takes a hundred tenants to come up."""
