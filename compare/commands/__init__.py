"""The commands of gradtwin, one file each: options in, records out to report and board, an exit status back."""
