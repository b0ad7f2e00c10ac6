"""Where a value may stand in a POSIX shell script: as much of sh as it takes to know how a place is quoted."""
