"""Azure Resource Manager and the reads of Microsoft Graph's directory on this machine, over a tenant held in memory."""
