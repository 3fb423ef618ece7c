//! Database files and ports that cannot be used: the caller is told which and why, and the file is as it was.
