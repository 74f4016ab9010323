"""A road warrior: a machine somewhere on the internet that calls its tenant's gateway by IKEv2."""
