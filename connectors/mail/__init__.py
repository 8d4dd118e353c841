"""E-mail, in and out. Mail is read in a child process (child.py): no mail of a stranger's can stop or fill the hub."""
