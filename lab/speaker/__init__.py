"""A customer's BGP router: ExaBGP, which offers the site's network, and what it learns as kernel routes."""
