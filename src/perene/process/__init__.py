"""What one process has: its log, files and sockets, event loop, threads, and data directory."""
