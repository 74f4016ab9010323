"""An edge: a customer's router without IPsec, at the far end of a GRE tunnel or in the tenant's VLAN."""
