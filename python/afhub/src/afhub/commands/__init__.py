"""What the command line ``afhub`` does, one module for each subcommand."""
