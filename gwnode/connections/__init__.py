"""What ties a compartment to the outside: IPsec, GRE, L3 forwarding, NAT, dial-in."""
