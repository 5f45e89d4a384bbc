"""What everything stands on: whole files, memory, threads, devices, caches of the user."""
