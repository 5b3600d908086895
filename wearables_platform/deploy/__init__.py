"""What a deployment is made of: the secrets it needs, and beside this file the configuration its servers are given."""
