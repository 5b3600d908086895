"""The assets: a folder is a group, a file is a dataset, the work is in `wearables_platform.batch`."""
