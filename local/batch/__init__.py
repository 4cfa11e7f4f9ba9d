"""A batch endpoint of Azure ML on this machine, with a workspace's list of jobs, their cancel, and storage in folders."""
