"""What is read, and when: polls of jobs and reads of leads."""
