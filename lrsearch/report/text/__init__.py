"""What people read in a terminal and on the page: one module per part, one place per sentence."""
