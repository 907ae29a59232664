"""Where the real parts are put together, for the command line and for Python."""
