"""Private attributes of other libraries: one file a library, one small function for each use."""
