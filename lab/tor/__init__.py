"""The top-of-rack router where the kernel's routing is not enough: BGP with the gateways, tenants' VLANs."""
