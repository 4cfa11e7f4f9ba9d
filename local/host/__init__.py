"""Stand-in for the Azure Functions host on the genuine worker library; never compared with the real one."""
